#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# Control is out of descriptors when a beat comes by TCP: it tried again at once
# and for as long as that lasted, and said nothing.
use strict;
use warnings;
use lib 't/lib';
use Digest::SHA qw(hmac_sha256_hex);
use Test::More;
use Weir;

plan(skip_all => 'no strace') if system('strace -V >/dev/null 2>&1') != 0;

my $SECRET = 'a secret of some letters';
my $in = Weir::listener();
# Workers accept nothing here; io_uring would not call accept4().
my $w = Weir->start(listen => [$in], workers => 1, wrap => ['strace', '-f',
	'-o', '/dev/null', '-e', 'trace=accept4', '-e',
	'inject=accept4:error=ENFILE:when=1'], conf => <<"EOT");
events = { backend = "epoll"; };
upstreams = { app = { announce = { secret = "$SECRET"; }; }; };
listeners = { beats = { listen = "fd:3"; protocol = "heartbeat"; }; };
EOT
my $tcp = Weir::dial($w->addr(0));
my $text = 'upstream=app name=one address=127.0.0.1:9 time=' . time .
    ' nonce=0011223344556677';
Weir::put($tcp, "$text hmac=" . hmac_sha256_hex($text, $SECRET) . "\n");
ok($w->logged(qr/server one joins upstream app/), 'the beat is heard');
ok($w->log =~ /no beats are heard for a moment/, 'a little later, with a word');
close $tcp;
my ($master) = $w->pids('master');
kill 'QUIT', $master;
$w->stop(signal => 'CONT', seen => qr/no beats are heard for a moment/);
done_testing();
