/* SPDX-License-Identifier: MIT
 * Which loop? Dispatch to the subcommand. */
#include "core.h"

#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "trace"))
		return trace_main(argc - 1, argv + 1);
	if (argc > 1 && !strcmp(argv[1], "run"))
		return run_main(argc - 1, argv + 1);
	if (argc > 1 && !strcmp(argv[1], "probe"))
		return probe_main(argc - 1, argv + 1);
	if (argc > 1 && !strcmp(argv[1], "gate"))
		return gate_main(argc - 1, argv + 1);
	if (argc > 1 && !strcmp(argv[1], "watch"))
		return watch_main();
	fprintf(stderr, "usage: rtnb-core trace|run|gate|watch|probe ... (a part of the Python package rtnb)\n");
	return 2;
}
