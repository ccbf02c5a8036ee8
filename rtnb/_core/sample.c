#include "core.h"
int sample_main(int c,char**v){(void)c;(void)v;return 2;}
