#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# Errors of one client are not told, and others are, whatever the back end; an
# error that nobody knows was one of a client's for io_uring alone, and would
# have been asked for again at once for as long as it lasted.
use strict;
use warnings;
use lib 't/lib';
use IO::Socket::UNIX ();
use Test::More;
use Weir;
use Weir::Peer;

plan(skip_all => 'no strace') if system('strace -V >/dev/null 2>&1') != 0;

my $greeting = Weir::Peer->greeting("hello\n", close => 1);

# The first accept4() of each process gives this error.  From a socket that
# others may share every back end accepts in that way.
sub served
{
	my ($error) = @_;
	my $dir = Weir::folder();

	chmod 0755, $dir;
	my $w = Weir->start(workers => 1, wrap => ['strace', '-f', '-o',
		'/dev/null', '-e', 'trace=accept4', '-e',
		"inject=accept4:error=$error:when=1"], conf => <<"EOT");
upstreams = { e = { servers = "@{[$greeting->addr]}"; }; };
listeners = { web = { listen = "unix:$dir/web"; mode = "0666"; upstream = "e"; }; };
EOT
	my $s = IO::Socket::UNIX->new(Peer => "$dir/web") or die "$dir/web: $!";

	is(Weir::get($s, undef), "hello\n", "$error: who waits is served");
	close $s;
	my $said = $w->log =~ /accept on \S+: no more for a moment/ ? 1 : 0;
	my ($master) = $w->pids('master');
	kill 'QUIT', $master;
	$w->stop(signal => 'CONT', seen => qr/no more for a moment/);
	return $said;
}

is(served('EPROTO'), 0, 'one of a client is not told');
is(served('ETIMEDOUT'), 1, 'another one is');
done_testing();
