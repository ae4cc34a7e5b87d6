#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# Whoever can read a file can lock it: one who waited for the lock of the pid
# file got it when the master was killed, and no weir could be started then.
use strict;
use warnings;
use lib 't/lib';
use Fcntl qw(LOCK_EX);
use POSIX ();
use Test::More;
use Weir;

my $w = Weir->start(listen => [Weir::listener()], conf => <<'EOT');
listeners = { web = { listen = "fd:3"; return = 204; }; };
EOT
my $pid = "$w->{dir}/weir.pid";

sub mode { return sprintf '%04o', (stat $pid)[2] & 07777 }

# What somebody else who tries to hold the lock comes to say first.
sub stranger
{
	pipe my $from, my $to or die "pipe: $!";
	my $child = fork // die "fork: $!";

	if ($child == 0) {
		alarm $Weir::PATIENCE;
		POSIX::setgid(65534), POSIX::setuid(65534);
		my $ok = open my $file, '<', $pid;
		syswrite $to, $ok ? 'it can read it' : "it cannot: $!";
		close $to;
		flock $file, LOCK_EX if $ok;
		POSIX::_exit(0);
	}
	close $to;
	my $said = join '', <$from>;
	kill 'KILL', $child;
	waitpid $child, 0;
	return $said;
}

is(mode(), '0600', 'the pid file is its owner\'s');
SKIP: {
	skip 'not root', 1 if $> != 0;
	chmod 0711, $w->{dir};
	is(stranger(), 'it cannot: Permission denied', 'nobody else has a lock');
}
$w->stop;

# One that an older weir left, or the operator made.
my $dir = Weir::folder();
$pid = "$dir/weir.pid";
Weir::spew($pid, "1\n");
chmod 0644, $pid;
Weir::spew("$dir/weir.conf", <<"EOT");
pid = "$pid";
error_log = "$dir/error.log";
listeners = { web = { listen = "unix:$dir/web.sock"; return = 204; }; };
EOT
my ($st, $out, $err) = Weir::run('-d', '-c', "$dir/weir.conf");
is($st, 0, 'a file that was there') or diag($err);
is(mode(), '0600', 'becomes so');
is((Weir::run('-s', 'quit', '-c', "$dir/weir.conf"))[0], 0, 'and it works');
Weir::until_true('it to end', sub { !-e $pid });
done_testing();
