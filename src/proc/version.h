/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * version - what this binary is: version, back ends, libraries, paths, sizes.
 */
#ifndef WR_VERSION_H
#define WR_VERSION_H

#include <stdbool.h>
#include <stdio.h>

/* One line, or all of it. */
void wr_version_print(FILE *out, bool all);

#endif
