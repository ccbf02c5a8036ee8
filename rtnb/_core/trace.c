#include "core.h"
int trace_main(int c,char**v){(void)c;(void)v;return 2;}
