#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# Active checks: one prober for all workers, and what it finds stays.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Time::HiRes ();
use Weir;
use Weir::Peer;

# Answers HTTP and notes each question: time, status given, who asked.  It is
# sick while the file "sick" is there.
sub web
{
	my ($dir, $name) = @_;

	return Weir::Peer->server({ data => sub {
		my ($p, $c) = @_;
		return if $c->{got} !~ /\r\n\r\n/ || $c->{ending};
		my $status = -e "$dir/$name.sick" ? 503 : 200;
		my $who = $c->{got} =~ /weir-check/ ? 'check' : 'session';
		open my $out, '>>', "$dir/$name.log";
		printf {$out} "%.6f %d %s\n", Time::HiRes::time(), $status,
		    $who;
		close $out;
		$p->put($c, "HTTP/1.1 $status x\r\nContent-Length: 3\r\n\r\n" .
		    substr $name, 0, 3);
		$p->end($c);
	} });
}

sub asked
{
	my ($dir, $name, $who) = @_;

	return map { { time => $_->[0], status => $_->[1] } }
	    grep { !$who || $_->[2] eq $who }
	    map { [split] } split /\n/, Weir::slurp("$dir/$name.log");
}

sub health_of
{
	my ($w, $server) = @_;

	return $w->status->{upstreams}{app}{servers}{$server}{health};
}

sub fetch
{
	my ($w) = @_;
	my $s = $w->connect(0);

	return Weir::chat($s, "GET / HTTP/1.0\r\n\r\n", undef);
}

sub sick { my ($f) = @_; Weir::spew("$f.sick", '1') }
sub well { my ($f) = @_; unlink "$f.sick" }

# ---- One probe per interval, whatever the number of workers ----------------

{
	my $server = Weir::Peer->mute;
	my $w = Weir->start(listen => [Weir::listener()], workers => 4,
	    conf => <<"EOT");
upstreams = { app = { servers = "$server->{addr}";
	health = { type = "tcp"; interval = "200ms"; }; }; };
listeners = { web = { listen = "fd:3"; upstream = "app"; }; };
EOT
	$w->logged(qr/server \S+ of upstream app is up: connected/);
	$server->await(accepted => 4);
	# Whatever came before this is counted, however late we are told.
	my $begin = Weir::now();
	my $n = $server->stats->{accepted};
	$server->await(accepted => $n + 22);
	my $took = Weir::now() - $begin;
	# Each is within its own interval, so two may differ by an eighth; and
	# one that was late is nearer to the next.
	cmp_ok($took, '>=', 20 * 0.2 - 0.1,
	    sprintf '22 probes took %.2f s: not more than one per interval',
	    $took);
	cmp_ok($took, '<', 4 * 20 * 0.2, 'and none is left out');
	$w->stop;
}

# ---- Fall, rise, and who gets sessions -------------------------------------

{
	my $tmp = Weir::folder();
	my $dir = $tmp->dirname;
	my ($one, $two) = map { web($dir, $_) } qw(one two);
	my $conf = <<"EOT";
upstreams = { app = { servers = ( { name = "one"; address = "$one->{addr}"; },
	{ name = "two"; address = "$two->{addr}"; } );
	health = { type = "http"; uri = "/ready"; interval = "300ms";
	    fast = "150ms"; fall = 3; rise = 2; timeout = "10s"; }; }; };
listeners = { web = { listen = "fd:3"; upstream = "app"; }; };
EOT
	my $w = Weir->start(listen => [Weir::listener()], conf => $conf);
	$w->logged(qr/server $_ of upstream app is up: status 200/)
	    for qw(one two);

	$w->mark;
	sick("$dir/one");
	my $line = $w->logged(qr/server one of upstream app is down: status 503/);
	my $bad = grep { $_->{status} == 503 && $_->{time} <= Weir::time_of($line) +
		0.001 } asked($dir, 'one', 'check');
	is($bad, 3, 'down after `fall` failed checks');
	is(health_of($w, 'one'), 'down', 'status says so');
	my $before = asked($dir, 'one', 'session');
	my @got = map { fetch($w) } 1 .. 40;
	is(scalar(grep { /two$/ } @got), 40, 'the other one serves all');
	is(scalar(asked($dir, 'one', 'session')), $before,
	    'a server that fails never gets a session');

	# ---- What is known outlives control and workers ----

	$w->mark;
	my ($control) = $w->pids('control');
	$w->signal('KILL', $control);
	@got = map { fetch($w) } 1 .. 40;
	is(scalar(grep { /two$/ } @got), 40, 'while control is dead, too');
	$w->until('another control', sub {
		my ($now) = $w->pids('control');
		return $now && $now != $control;
	});
	my ($worker) = $w->workers;
	$w->signal('KILL', $worker);
	$w->until('another worker', sub {
		my @now = $w->workers;
		return @now == 2 && !grep { $_ == $worker } @now;
	});
	my $seen = asked($dir, 'one', 'check');
	$w->until('more checks', sub {
		asked($dir, 'one', 'check') > $seen + 2 });
	is(health_of($w, 'one'), 'down', 'the new one knows what was known');
	is(health_of($w, 'two'), 'up', 'of both');
	my $log = substr $w->log, $w->{mark};
	unlike($log, qr/is (?:up|down):/, 'and finds no news');

	# ---- A reload keeps it, unless the question is another ----

	$w->mark;
	is(scalar($w->reload($conf =~ s/interval = "300ms"/interval = "200ms"/r)),
	    0, 'another interval');
	is(health_of($w, 'one'), 'down', 'a reload keeps what is known');
	is(health_of($w, 'two'), 'up', 'of both');
	$seen = asked($dir, 'two', 'check');
	$w->until('more checks', sub {
		asked($dir, 'two', 'check') > $seen + 2 });
	unlike(substr($w->log, $w->{mark}), qr/is (?:up|down):/, 'no news');

	# ---- Rise ----

	$w->mark;
	well("$dir/one");
	$line = $w->logged(qr/server one of upstream app is up: status 200/);
	my $good = 0;
	for (asked($dir, 'one', 'check')) {
		next if $_->{time} > Weir::time_of($line) + 0.001;
		$good = $_->{status} == 200 ? $good + 1 : 0;
	}
	is($good, 2, 'up after `rise` good checks');
	@got = map { fetch($w) } 1 .. 10;
	# Each worker takes turns by itself.
	my $part = grep { /one$/ } @got;
	ok($part >= 3 && $part <= 7, "and serves its part, $part of 10");

	$w->mark;
	is(scalar($w->reload($conf =~ s{/ready}{/other}r)), 0, 'another uri');
	$w->logged(qr/server $_ of upstream app is up: status 200/)
	    for qw(one two);
	pass('another question is asked at once');

	sick("$dir/one");
	$w->logged(qr/server one of upstream app is down/);
	is(scalar($w->reload($conf =~ s/health = /health = "off"; label = /r
	    =~ s/label = \{.*?\};/label = "x";/sr)), 0, 'no checks');
	is(health_of($w, 'one'), 'none', 'then nothing is known');
	$w->stop;
}

# ---- Checking: one that is up is enough ------------------------------------

{
	my $tmp = Weir::folder();
	my $dir = $tmp->dirname;
	my $mute = Weir::Peer->mute;
	my $good = web($dir, 'good');
	my $w = Weir->start(listen => [Weir::listener()], conf => <<"EOT");
upstreams = { app = { servers = ( { name = "mute"; address = "$mute->{addr}"; },
	{ name = "good"; address = "$good->{addr}"; } );
	health = { type = "http"; timeout = "60s"; }; }; };
listeners = { web = { listen = "fd:3"; upstream = "app"; }; };
EOT
	like(fetch($w), qr/goo$/, 'served while the other is not checked yet')
	    for 1 .. 4;
	is(health_of($w, 'mute'), 'checking', 'which is what it is');
	$w->stop;
}

# Sessions wait for the first check, and no longer.  How long it took.
sub first_check
{
	my $server = Weir::Peer->mute;
	my $w = Weir->start(listen => [Weir::listener()], conf => <<"EOT");
upstreams = { app = { servers = "$server->{addr}";
	health = { type = "script"; timeout = "60s"; interval = "60s";
	    steps = ( { expect = "^ok"; } ); };
	timeouts = { queue = "60s"; }; }; };
listeners = { web = { listen = "fd:3"; upstream = "app"; }; };
EOT
	my @c = map { $w->connect(0) } 1 .. 4;
	$w->until('all to wait', sub {
		return $w->status->{upstreams}{app}{waiting} == 4 });
	$server->await(accepted => 1);
	is($server->stats->{accepted}, 1, 'only the check goes there at first');
	my $begin = Weir::now();
	$server->ask('put', "ok\n");
	$server->await(accepted => 5);
	my $took = Weir::now() - $begin;
	close $_ for @c;
	$server->ask('drop');
	$w->stop;
	return $took;
}

# What weir waits for, it waits for each time; a busy machine is not so steady.
my $took;
for (1 .. 5) {
	last if ($took = first_check()) < 1;
}
cmp_ok($took, '<', 1, 'then all go at once');

# A check that runs goes on over reloads, or a busy operator would hide a
# server that does not answer.  The number of reloads that it took.
sub verdict_over_reloads
{
	my ($ms) = @_;
	my $mute = Weir::Peer->mute;
	my $conf = <<"EOT";
upstreams = { app = { servers = ( { name = "mute"; address = "$mute->{addr}"; } );
	health = { type = "http"; timeout = "${ms}ms"; body = "x";
		interval = "1m"; }; }; };
listeners = { web = { listen = "fd:3"; upstream = "app"; label = "N"; }; };
EOT
	my $w = Weir->start(listen => [Weir::listener()], conf => $conf);
	my $n = 0;
	$w->until('a verdict', sub {
		$n++ if $w->reload($conf =~ s/"N"/"$n"/r) == 0;
		return $w->log =~ /mute of upstream app is down: time-out/;
	});
	is($mute->stats->{accepted}, 1, 'a check is not begun again');
	$w->stop;
	return $n;
}

# More than two, in a time that is enough for them.
my $reloads;
for my $ms (700, 2800, 11200) {
	last if ($reloads = verdict_over_reloads($ms)) > 2;
}
cmp_ok($reloads, '>', 2, "$reloads reloads in the time of one check");

# ---- A script, and another port --------------------------------------------

{
	my $smtp = Weir::Peer->greeting("220 mx ESMTP\r\n");
	my $other = Weir::Peer->greeting("554 go away\r\n");
	my $echo = Weir::Peer->echo;
	my $conf = <<"EOT";
upstreams = { app = { servers = ( { name = "a"; address = "$echo->{addr}"; } );
	health = { type = "script"; port = $smtp->{port}; interval = "100ms";
	    timeout = "20s"; fall = 1; rise = 1;
	    steps = ( { expect = "^220 "; },
		{ send = "PING\\\\x01\\\\r\\\\n"; expect = "PING\\\\x01\\\\r\$"; },
		{ send = "hex:51 00 51"; expect = "hex: 5100 51"; } ); }; }; };
listeners = { web = { listen = "fd:3"; upstream = "app"; }; };
EOT
	my $w = Weir->start(listen => [Weir::listener()], conf => $conf);
	$w->logged(qr/server a of upstream app is up: script passed/);
	my $c = $w->connect(0);
	is(Weir::chat($c, 'x', 1), 'x', 'the session goes to the server');
	my ($first) = @{$smtp->stats->{got}};
	close $c;
	is($first, "PING\x01\r\nQ\0Q", 'the script says what is written');
	# Enough for the other to say it.
	is(scalar($w->reload($conf =~ s/port = \d+/port = $other->{port}/r
	    =~ s/timeout = "20s"/timeout = "1500ms"/r)), 0, 'another port');
	like($w->logged(qr/server a of upstream app is down:/),
	    qr/time-out after 1500 ms: step 1 of 3, after "554 go away\\r\\n"$/,
	    'the cause is told');
	$w->stop;
}

# ---- TLS ------------------------------------------------------------------

SKIP: {
	my $tmp = Weir::folder();
	my $dir = $tmp->dirname;
	skip 'no openssl command', 4 if system("openssl req -x509 -newkey " .
	    "rsa:2048 -nodes -keyout $dir/key.pem -out $dir/cert.pem " .
	    "-subj /CN=test -days 2 >$dir/out 2>&1") != 0;
	# It runs until its input ends.
	pipe my $stdin, my $open or die "pipe: $!";
	my $pid = fork;
	if (!$pid) {
		open STDIN, '<&', $stdin;
		open STDOUT, '>', "$dir/out";
		open STDERR, '>&', \*STDOUT;
		exec qw(openssl s_server -accept 127.0.0.1:0), '-cert',
		    "$dir/cert.pem", '-key', "$dir/key.pem" or
		    POSIX::_exit(1);
	}
	my $port;
	Weir::until_true('the TLS server', sub {
		($port) = Weir::slurp("$dir/out") =~ /^ACCEPT \S+:(\d+)$/m });
	my $plain = Weir::Peer->greeting("220 no TLS here, not at all\r\n");
	my $w = Weir->start(listen => [Weir::listener()], conf => <<"EOT");
upstreams = { app = { servers = ( { name = "tls"; address = "127.0.0.1:$port"; },
	{ name = "plain"; address = "$plain->{addr}"; } );
	health = { type = "tls"; interval = "100ms"; host = "test";
	    timeout = "20s"; }; }; };
listeners = { web = { listen = "fd:3"; upstream = "app"; }; };
EOT
	like($w->logged(qr/server plain of upstream app is down:/),
	    qr/TLS handshake: wrong version number$/, 'plain text is no TLS');
	like($w->logged(qr/server tls of upstream app is up:/),
	    qr/TLS handshake done$/, 'and TLS is');
	# Before the end, which may cut one short.
	my $out;
	$w->until('three checks', sub {
		$out = Weir::slurp("$dir/out");
		return 3 <= (() = $out =~ /^CONNECTION CLOSED$/mg);
	});
	unlike($out, qr/error/i, 'the server saw whole handshakes, and an end')
	    unless $Weir::VALGRIND;
	$w->stop;
	kill 'KILL', $pid;
	waitpid $pid, 0;
}

done_testing();
