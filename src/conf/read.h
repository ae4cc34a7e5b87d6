/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * read - the only file that knows libconfig: one string in, a tree out.
 */
#ifndef WR_READ_H
#define WR_READ_H

#include "conf/node.h"
#include "conf/scan.h"

/*
 * What the scan wrote, as a list of one group a file, in the order of
 * reading.  The tree lives in the scan's scratch arena and may be changed by
 * its owner.  NULL after an error, which is in the scan's errors.
 */
struct wr_node *wr_read(struct wr_scan *s);

#endif
