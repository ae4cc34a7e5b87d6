#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# A new binary takes over, or fails and the old one serves on; nobody who
# connects notices either.
use strict;
use warnings;
use lib 't/lib';
use Weir::Net;
use File::Copy ();
use Test::More;
use Weir;
use Weir::Load;
use Weir::Peer;

my $WEB = '127.0.0.1:5001';
my $echo = Weir::Peer->echo;
my $bins = Weir::folder();
my $bin = "$bins/weir";

sub conf
{
	my (%o) = @_;

	$o{more} //= '';
	return <<"EOT";
watchdog = { interval = "100ms"; limit = "30s"; };
upstreams = { e = { servers = "${\$echo->addr}"; }; };
listeners = { web = { listen = [ "$WEB", "unix:$o{dir}/web.sock" ];
    upstream = "e"; }; };
$o{more}
EOT
}

# What the program is from now on: the real one, or a script.
sub program
{
	my ($script) = @_;

	unlink $bin;
	if (defined $script) {
		Weir::spew($bin, "#!/bin/sh\n$script\n");
	} else {
		File::Copy::copy($ENV{WEIR} // './weir', $bin) or die "copy: $!";
	}
	chmod 0755, $bin;
}

my $sockets = Weir::folder();

sub start
{
	my (%o) = @_;

	program();
	local $Weir::PROGRAM = $bin;
	return Weir->start(workers => 2, %o, conf => conf(dir => $sockets, %o));
}

sub load
{
	return Weir::Load->start($WEB, rate => 100, idle => 20, busy => 5,
	    most => 125);
}

# Nobody was lost: all new ones, and all who stay.
sub nothing_lost
{
	my ($load, $what) = @_;
	my ($text, $n) = $load->end;

	is($text =~ s/\d+ ok, //r, '5 ok busy, 20 ok idle',
	    "$what: nobody lost anything") or
	    diag("$text\n", map { "$_\n" } @{$load->{why}});
	cmp_ok($n->{ok} // 0, '>', 0, "$what: there were clients");
}

# Wait for the heir's master, which is whoever is one and is not the first.
sub heir
{
	my ($w) = @_;

	return $w->until('a second master', sub {
		my ($new) = grep { $_ != $w->master } $w->pids('master');
		return $new;
	});
}

sub follow
{
	my ($w, $pid) = @_;

	$w->follow($pid);
	$w->until('the old master to end', sub {
		return !grep { $_ == $w->{pid} } $w->pids('master');
	});
}

# One command, one outcome.
{
	my $w = start();
	my @old = $w->workers;
	my $accepted = Weir::Load::harvest(Weir::Load::queue($WEB, 10));
	is($accepted, '10 ok', 'it serves');
	my $load = load();
	my ($st, $out, $err) = $w->ask('upgrade');
	is("$st$err", '0', 'weir -s upgrade succeeds');
	my $pid = Weir::slurp("$w->{dir}/weir.pid") + 0;
	isnt($pid, $w->{pid}, 'the pid file names another master');
	nothing_lost($load, 'a good upgrade');
	follow($w, $pid);
	my $s = $w->status;
	is($s->{pid}, $pid, 'weir -s talks to the new one');
	is($s->{binaries}, 2, 'which is the second binary');
	cmp_ok($s->{listeners}{web}{accepted}, '>', 10, 'counters are kept');
	is(scalar(grep { my $p = $_; grep { $_ == $p } @old } $w->workers), 0,
	    'all workers are new');
	is(Weir::Load::harvest(Weir::Load::queue("unix:$sockets/web.sock",
	    10)), '10 ok', 'the unix socket is served');
	# Twice in a row, with a reload in between.
	is(scalar $w->reload, '0', 'the new one reloads');
	($st, $out, $err) = $w->ask('upgrade');
	is("$st$err", '0', 'the new one is upgraded in its turn');
	my $third = Weir::slurp("$w->{dir}/weir.pid") + 0;
	isnt($third, $pid, 'a third master');
	$w->until('the second to end', sub { !kill 0, $pid });
	$w->follow($third);
	is($w->status->{binaries}, 3, 'the third binary');
	$w->stop;
	ok(!-e "$sockets/web.sock", 'the last one removes the unix socket');
}

# A binary that does not come up.
for my $bad (
	['that exits at once', 'exit 1', qr/new binary failed/],
	['that cannot be run', undef, qr/new binary failed/],
	['that hangs', 'exec tail -f /dev/null', qr/new binary was silent/],
) {
	my ($name, $script, $why) = @$bad;
	next if !defined $script && !$Weir::SLOW;
	my $w = start($why =~ /silent/ ? (more => 'reload_timeout = "1s";') : ());
	my @old = $w->workers;
	my $load = load();

	program($script // 'exit 1');
	chmod 0644, $bin unless defined $script;
	my ($st, $out, $err) = $w->ask('upgrade');
	is($st, 1, "a binary $name is refused");
	like($err, $why, "a binary $name: and why");
	nothing_lost($load, "a binary $name");
	is_deeply([$w->workers], \@old, "a binary $name: the old ones serve");
	is(Weir::slurp("$w->{dir}/weir.pid") + 0, $w->{pid},
	    'the pid file is as before');
	program();
	is(scalar $w->reload, '0', 'a reload works as before');
	$w->stop;
}

# A new configuration that is refused refuses the new binary.
{
	my $w = start();
	my $load = load();

	$w->conf(conf(dir => $sockets, more => 'nonsense = 1;'));
	my ($st, $out, $err) = $w->ask('upgrade');
	is($st, 1, 'a bad configuration refuses an upgrade');
	like($err, qr/the error log says why/, 'and where to look is said');
	$w->logged(qr/nonsense/);
	nothing_lost($load, 'a bad configuration');
	$w->stop;
}

# The new master dies, in its probation; by KILL when it was up for a second.
for my $signal ($Weir::SLOW ? 'SEGV' : (), 'KILL', 'STOP') {
	my $w = start();
	my @old = $w->workers;
	my $load = load();

	$w->mark;
	$w->signal('USR2');
	my $pid = heir($w);
	$w->logged(qr/master\[$pid\]: .*is up/);
	is(Weir::Load::harvest(Weir::Load::queue($WEB, 50)), '50 ok',
	    'the new ones serve');
	if ($signal eq 'KILL') {
		my ($up, $bad) = (Weir::now(), 0);

		is(scalar $w->reload, '1', 'no reload while an upgrade runs');
		while (Weir::now() - $up < 1) {
			$bad++ if Weir::Load::harvest(
				Weir::Load::queue($WEB, 20)) ne '20 ok';
		}
		is($bad, 0, 'the new ones go on serving');
	}
	kill $signal, $pid;
	$w->logged(qr/the old one serves on/);
	nothing_lost($load, "a new master that gets $signal");
	is(Weir::Load::harvest(Weir::Load::queue($WEB, 100)), '100 ok',
	    'the old ones serve');
	is_deeply([grep { my $p = $_; grep { $_ == $p } @old } $w->workers],
	    \@old, 'they are the same');
	$w->until('the new ones to end', sub {
		return $w->workers == 2 && $w->pids('control') == 1;
	});
	is(scalar $w->reload, '0', 'a reload works as before');
	$w->stop(seen => qr/master\[$pid\]: SIGSEGV/);
}

# A new worker that crashes loses at most what it had.
{
	my $w = start();
	my %old = map { $_ => 1 } $w->workers;

	$w->mark;
	$w->signal('USR2');
	my $pid = heir($w);
	$w->logged(qr/master\[$pid\]: .*is up/);
	my ($new) = grep { !$old{$_} } $w->workers;
	kill 'KILL', $new;
	$w->logged(qr/\[$new\] died/);
	is(Weir::Load::harvest(Weir::Load::queue($WEB, 50)), '50 ok',
	    'a new worker dies: the next one serves');
	$w->logged(qr/all is ours/);
	follow($w, $pid);
	is(Weir::Load::harvest(Weir::Load::queue($WEB, 50)), '50 ok',
	    'and the upgrade goes on');
	$w->stop;
}

# Workers that die again and again: everything as before, and soon.
{
	my $w = start();

	$w->mark;
	$w->signal('USR2');
	my $pid = heir($w);
	$w->logged(qr/master\[$pid\]: .*is up/);
	# Before they are a second old.  A look at all processes takes too long
	# for that on a busy machine.
	my $name = $Weir::VALGRIND ? 'comm' : 'cmdline';
	$w->until('the old one to serve on', sub {
		kill 'KILL', grep {
			Weir::slurp("/proc/$_/$name") =~ /^weir: worker/
		} split ' ', Weir::slurp("/proc/$pid/task/$pid/children");
		return $w->log =~ /the old one serves on/;
	});
	is(Weir::Load::harvest(Weir::Load::queue($WEB, 50)), '50 ok',
	    'new workers that die and die: the old ones serve');
	$w->until('the new ones to end', sub {
		return $w->pids('master') == 1;
	});
	$w->stop;
}

# The new configuration has a listener less: the old ones serve who comes to it
# until there is a way back no longer, and then who is waiting.
{
	my ($gone, $gone_unix) = ('127.0.0.1:5002', "unix:$sockets/gone.sock");
	my $with = conf(dir => $sockets) =~ s/^listeners = \{/listeners = {
    gone = { listen = [ "$gone", "$gone_unix" ]; upstream = "e"; };/mr;
	program();
	local $Weir::PROGRAM = $bin;
	my $w = Weir->start(workers => 2, conf => $with);
	my $load = Weir::Load->start($gone, rate => 0, idle => 5, busy => 5);
	my $serves = sub {
		my ($when) = @_;

		is(Weir::Load::harvest(Weir::Load::queue($_, 20)), '20 ok',
		    "$when, $_ is served") for $gone, $gone_unix, $WEB;
	};

	# One that fails first: all as before.
	$w->conf(conf(dir => $sockets));
	$w->mark;
	$w->signal('USR2');
	my $pid = heir($w);
	$w->logged(qr/master\[$pid\]: .*is up/);
	$serves->('in the probation');
	my $both = Weir::Load->start($gone, rate => 50);
	kill 'KILL', $pid;
	$w->logged(qr/the old one serves on/);
	$serves->('after one that failed');
	like(scalar $both->end, qr/^\d+ ok$/, 'nobody is lost');
	$w->until('the new ones to end', sub {
		return $w->workers == 2 && $w->pids('control') == 1;
	});

	$w->mark;
	$w->signal('USR2');
	$pid = heir($w);
	$w->logged(qr/master\[$pid\]: .*is up/);
	$serves->('in the second probation');
	$w->logged(qr/all is ours/);
	$w->until('later ones to be refused', sub {
		return !Weir::dial($gone, try => 1, timeout => 1);
	});
	ok(!-e "$sockets/gone.sock", 'the unix socket is gone');
	my ($text) = $load->end;
	is($text, '5 ok busy, 5 ok idle', 'and who was in stays') or
	    diag(map { "$_\n" } @{$load->{why}});
	follow($w, $pid);
	is(Weir::Load::harvest(Weir::Load::queue($WEB, 20)), '20 ok',
	    'the others are served');
	$w->stop;
}

# Two at once, and the way users of nginx end it.
{
	my $w = start();

	$w->mark;
	$w->signal('USR2');
	my $pid = heir($w);
	my ($st, $out, $err) = $w->ask('upgrade');
	is($st, 1, 'one upgrade at a time');
	like($err, qr/an upgrade runs/, 'and it says so');
	$w->logged(qr/master\[$pid\]: .*is up/);
	my $load = load();
	kill 'QUIT', $w->{pid};
	$w->logged(qr/all is ours/);
	follow($w, $pid);
	nothing_lost($load, 'QUIT to the old one in the probation');
	$w->stop;
}

# TERM to the old one ends both; QUIT to the new one returns to the old.
{
	my $w = start();

	$w->mark;
	$w->signal('USR2');
	my $pid = heir($w);
	$w->logged(qr/master\[$pid\]: .*is up/);
	kill 'QUIT', $pid;
	$w->logged(qr/the old one serves on/);
	$w->until('the new one to end', sub { $w->pids('master') == 1 });
	is(Weir::slurp("$w->{dir}/weir.pid") + 0, $w->{pid},
	    'QUIT to the new one: the pid file is as before');
	is(Weir::Load::harvest(Weir::Load::queue($WEB, 20)), '20 ok',
	    'QUIT to the new one: the old one serves');
	is(Weir::Load::harvest(Weir::Load::queue("unix:$sockets/web.sock",
	    10)), '10 ok', 'on the unix socket, too');
	$w->mark;
	$w->signal('USR2');
	$pid = heir($w);
	$w->logged(qr/master\[$pid\]: .*is up/);
	$w->stop(signal => 'TERM', name => 'TERM to the old one ends all');
}

# What systemd is told.
{
	my $w = start();
	my $told = sub {
		my ($pattern, $what) = @_;

		ok(eval { $w->notified($pattern) }, "systemd is told: $what");
	};

	is(scalar $w->reload, '0', 'a reload');
	$told->(qr/^RELOADING=1\nMONOTONIC_USEC=\d+$/m, 'reloading');
	$told->(qr/^READY=1$/m, 'ready again');
	is(($w->ask('upgrade'))[0], '0', 'an upgrade');
	my $pid = Weir::slurp("$w->{dir}/weir.pid") + 0;
	$told->(qr/^MAINPID=$pid$/m, 'the new master');
	follow($w, $pid);
	$w->signal('QUIT');
	$told->(qr/^STOPPING=1$/m, 'stopping');
	$w->stop;
}
done_testing;
