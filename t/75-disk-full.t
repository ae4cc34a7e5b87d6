#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# A log that cannot be written stops no traffic.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Weir;
use Weir::Peer;

plan skip_all => 'no /dev/full here' unless -c '/dev/full';
my $echo = Weir::Peer->echo;

sub conf
{
	my ($to) = @_;

	return <<"EOT";
access_log = "$to";
upstreams = { echo = { servers = "@{[$echo->addr]}"; }; };
listeners = { web = { listen = "fd:3"; upstream = "echo"; }; };
EOT
}

my $w = Weir->start(listen => [Weir::listener()], workers => 1,
    conf => conf('/dev/full'));
is(scalar(grep { Weir::chat($w->connect, "$_\n", qr/\n/) eq "$_\n" }
    1 .. 50), 50, '50 sessions with the disk full');
$echo->await(open => 0);
is(Weir::chat($w->connect, "on\n", qr/\n/), "on\n", 'and on');
ok($w->logged(qr/access log: cannot write, lines wait: No space/),
    'the error log says so');
$w->ask('quit');
is($w->ended, 0, 'it ends');
like($w->log, qr/access log: 51 lines lost/, 'and says what was lost');
is(() = $w->log =~ /cannot write/g, 1, 'the error was said once');
$w->stop;

# A folder that is not there is an error at start, with its name.
my $bad = Weir->start(wait => 0, listen => [Weir::listener()],
    conf => conf('/nonexistent/access.log'));
is($bad->ended, 1, 'a log in no folder: refused');
like($bad->log, qr{/nonexistent/access\.log.*No such file}, 'with its name');
$bad->stop(status => 1, name => 'and nothing else');
done_testing();
