#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# A worker that serves few sessions accepts on as many ports as it is told to:
# it once had room for 512, and the others were listened on by nobody.
use strict;
use warnings;
use lib 't/lib';
use Weir::Net;
use Test::More;
use Weir;
use Weir::Peer;

plan(skip_all => 'select has no 1000 descriptors') if $Weir::EVENTS eq 'select';

my $echo = Weir::Peer->echo;
my $w = Weir->start(workers => 1, conf => <<"EOT");
events = { connections = 50; };
upstreams = { e = { servers = "@{[$echo->addr]}"; }; };
listeners = { web = { listen = "127.0.0.1:7000-7999"; upstream = "e"; }; };
EOT

is(Weir::chat(Weir::dial("127.0.0.1:$_"), "hi\n", qr/\n/), "hi\n", "port $_")
    for 7000, 7500, 7800, 7999;
unlike($w->log, qr/cannot accept/, 'on all of them');
$w->stop;
done_testing;
