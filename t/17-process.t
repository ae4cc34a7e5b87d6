#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# Processes: who they are, what they hold, how they end and come back.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Weir;
use Weir::Peer;

my $echo = Weir::Peer->echo;
my $app = "upstreams = { app = { servers = \"@{[$echo->addr]}\"; }; };\n";
my $conf = $app .
    "listeners = { web = { listen = \"fd:3\"; upstream = \"app\"; }; };\n";

sub start
{
	my (%o) = @_;

	return Weir->start(listen => [Weir::listener()], conf => $conf, %o);
}

sub answers
{
	my ($w) = @_;
	my $c = $w->connect;

	return Weir::chat($c, 'x', 1) eq 'x';
}

sub field
{
	my ($pid, $name) = @_;

	return Weir::slurp("/proc/$pid/status") =~ /^$name:\s+(.*)/m ? $1 : '';
}

# ---- Who they are --------------------------------------------------------

my $w = start(workers => 3);
my ($control) = $w->pids('control');
is(join(',', sort map { $_->{title} } $w->processes),
    'weir: control,weir: master,' .
    'weir: worker 0,weir: worker 1,weir: worker 2', 'titles');
is(join(',', map { $_->{parent} } grep { $_->{pid} != $w->{pid} }
    $w->processes), join(',', ($w->{pid}) x 4), 'the master forks them all');
is(Weir::slurp("$w->{dir}/weir.pid"), "$w->{pid}\n", 'the pid file');
is(join(',', sort { $a <=> $b } map { m{/(\d+)$} ? $1 : () }
    glob "$w->{dir}/weir.pid.d/*"),
    join(',', sort { $a <=> $b } $w->workers, $control),
    'a file for each child');

SKIP: {
	skip 'not root', 3 if $> != 0;
	my $nobody = getpwnam 'nobody';
	for my $pid (($w->workers)[0], $control) {
		like(field($pid, 'Uid'), qr/^$nobody\s+$nobody\s+$nobody/,
		    'a child is nobody');
	}
	is(field(($w->workers)[0], 'NoNewPrivs'), 1, 'and stays so');
}

# ---- What they hold ------------------------------------------------------

# Sockets and files that a process has open, as the kernel names them.
sub open_files
{
	my ($pid) = @_;

	return grep { defined } map { readlink $_ } glob "/proc/$pid/fd/*";
}

my @held = map { [open_files($_)] } $w->workers, $control;
my %channels;
$channels{$_}++ for map { @$_ } @held;
ok(!grep({ m{/weir\.pid$} } map { @$_ } @held), 'no child has the pid file');
ok(!grep({ m{weir configuration} } map { @$_ } @held),
    'nor a descriptor of the configuration');
ok(!grep({ m{weir\.conf$} } map { @$_ } @held), 'nor the file');
my @shared = grep { /^socket:/ && $channels{$_} > 1 } keys %channels;
is(scalar @shared, 0, 'no socket is in several: each has its own shard');

# ---- One of a kind -------------------------------------------------------

my ($st, $out, $err) = Weir::run('-c', $w->{conf}, '-p', $w->{dir});
is($st, 1, 'a second weir is refused');
like($err, qr/runs already: process $w->{pid} holds .*weir\.pid/,
    'and says who is there');
ok(answers($w), 'the first one serves on');
is(Weir::slurp("$w->{dir}/weir.pid"), "$w->{pid}\n", 'its pid file is as was');

# ---- Death and return ----------------------------------------------------

my ($one) = $w->pids('worker 1');
kill 'KILL', $one;
$w->until('another worker 1', sub {
	my @p = $w->pids('worker 1');
	return @p == 1 && $p[0] != $one && $w->status->{processes};
});
$w->logged(qr/worker 1\[$one\] died of signal 9/);
ok(answers($w), 'all is served');

my $before = $control;
kill 'KILL', $control;
$w->until('another control', sub {
	($control) = $w->pids('control');
	return defined $control && $control != $before;
});
pass('control comes back');

# A crash leaves its stack.
($one) = $w->pids('worker 2');
kill 'SEGV', $one;
$w->logged(qr/weir: worker\[$one\]: SIGSEGV from process $$/);
$w->logged(qr/worker 2\[$one\] died of signal 11/);
$w->until('three workers', sub { $w->workers == 3 });

# The stack of a living one.
($one) = $w->pids('worker 0');
kill 'USR2', $one;
$w->logged(qr/weir: worker\[$one\]: asked for its stack/);
$w->logged(qr/wr_loop_run/);
ok(answers($w), 'it lives on');

# Signals of a terminal, sent to all, are the master's.
kill 'HUP', $_ for $w->workers;
kill 'INT', $_ for $w->workers;
kill 'WINCH', $_ for $w->workers;
ok(answers($w), 'HUP, INT and WINCH to a worker do nothing');
ok($w->until('no session', sub { $w->status->{total}{sessions} == 0 }),
    'gauges of the dead are gone');
$w->stop(seen => qr/SIGSEGV/);

# ---- A worker that cannot live -------------------------------------------

# Deaths right after the start count for the back-off.
$w = start(workers => 1);
my %seen;
my $began = Weir::now();
for my $n (1 .. 3) {
	my ($pid) = $w->until('a worker', sub {
		my @p = grep { !$seen{$_} } $w->workers;
		return @p ? \@p : undef;
	})->[0];
	$seen{$pid} = 1;
	kill 'KILL', $pid;
}
$w->until('a worker again', sub { grep { !$seen{$_} } $w->workers });
cmp_ok(Weir::now() - $began, '>', 1.4, 'the third one has to wait');
ok(answers($w), 'and serves');
$w->stop;

# ---- The user ------------------------------------------------------------

SKIP: {
	skip 'not root', 4 if $> != 0;
	my $dir = Weir::folder();
	Weir::spew("$dir/weir.conf", "$app user = \"no-such-user\";\n" .
	    "listeners = { web = { listen = \"127.0.0.1:1\";" .
	    " upstream = \"app\"; }; };\npid = \"$dir/weir.pid\";\n");
	($st, $out, $err) = Weir::run('-c', "$dir/weir.conf");
	is($st, 1, 'a user that does not exist: refused');
	like($err, qr/no-such-user/, 'and named');
	unlike($err, qr/\n.*\n/, 'in one line');
	ok(!-e "$dir/weir.pid", 'nothing was made');
}

# ---- In the background ---------------------------------------------------

my $dir = Weir::folder();
my $in = Weir::listener();
my $port = $in->sockport;
close $in;
sub background
{
	my ($extra) = @_;
	my $user = $> == 0 ? 'user = "nobody";' : '';

	Weir::spew("$dir/weir.conf", <<"EOT");
$app
pid = "$dir/weir.pid"; error_log = "$dir/error.log"; workers = 2; $user
$extra
EOT
	return Weir::run('-d', '-c', "$dir/weir.conf");
}

($st, $out, $err) = background('listeners = { web = { listen = ' .
    "\"127.0.0.1:$port\"; upstream = \"app\"; }; };");
is($st, 0, '-d: the parent ends well') or diag($err);
is("$out$err", '', 'and says nothing');
my $pid = Weir::slurp("$dir/weir.pid") + 0;
ok($pid > 1 && kill(0, $pid), 'the master is there when it has ended');
is(Weir::chat(Weir::dial("127.0.0.1:$port"), 'x', 1), 'x', 'and serves');
isnt((split ' ', Weir::slurp("/proc/$pid/stat"))[5], getpgrp(),
    'in a session of its own');
is(readlink "/proc/$pid/fd/0", '/dev/null', 'away from the terminal');
($st, $out, $err) = background('listeners = { };');
is($st, 1, 'a second one: the parent fails');
like($err, qr/runs already/, 'and its errors are seen');
($st) = Weir::run('-s', 'quit', '-c', "$dir/weir.conf");
is($st, 0, 'quit');
Weir::until_true('its end',
    sub { !kill(0, $pid) || !-e "$dir/weir.pid" });
ok(!-e "$dir/weir.pid", 'it ends and takes its pid file along');
($st, $out, $err) = background('listeners = { web = { listen = ' .
    '"192.0.2.1:1"; upstream = "app"; }; };');
is($st, 1, 'an address that cannot be had: the parent fails');
like($err, qr/192\.0\.2\.1:1/, 'and says which');
done_testing();
