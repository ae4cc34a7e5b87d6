#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# The checks of conf/ against the servers they are written for: Redis,
# PostgreSQL, and stand-ins for Patroni and a mail server.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Cwd qw(abs_path);
use Test::More;
use Weir;
use Weir::Peer;

my $CONF = abs_path("$FindBin::Bin/../conf");
my @NOBODY = getpwnam 'nobody';
my %CHILD;

# Nothing ever comes from here.
pipe my $never, my $silent or die "pipe: $!";

# An example with the addresses of the test: each "from" must be there.
sub example
{
	my ($file, %to) = @_;
	my $text = Weir::slurp("$CONF/$file");

	for my $from (sort keys %to) {
		die "$file: there is no $from" unless
		    $text =~ s/\Q$from\E/$to{$from}/g;
	}
	# The pace of a test.
	$text =~ s/interval = "\w+"/interval = "200ms"/g;
	$text =~ s/fast = "\w+"/fast = "100ms"/g;
	return $text;
}

# Run as somebody without rights (initdb insists); the process id.
sub spawn
{
	my ($log, @cmd) = @_;
	my $pid = fork // die "fork: $!";

	return $pid if $pid;
	open STDIN, '<', '/dev/null';
	open STDOUT, '>>', $log or POSIX::_exit(127);
	open STDERR, '>&', \*STDOUT;
	if ($> == 0) {
		POSIX::setgid($NOBODY[3]);
		POSIX::setuid($NOBODY[2]);
	}
	$ENV{LC_ALL} = 'C';
	chdir '/';
	{ no warnings; exec @cmd; }
	POSIX::_exit(127);
}

sub run { my $pid = spawn(@_); waitpid $pid, 0; return $? == 0 }

sub daemon { my ($name, @cmd) = @_; $CHILD{$name} = spawn(@cmd) }

sub end_of
{
	my ($name, $signal) = @_;
	my $pid = delete $CHILD{$name} or return;

	kill $signal, $pid;
	waitpid $pid, 0;
}

END { local $?; end_of($_, 'KILL') for keys %CHILD }

sub folder
{
	my $tmp = Weir::folder();

	chown $NOBODY[2], $NOBODY[3], $tmp->dirname if $> == 0;
	return $tmp;
}

# Ports that were free a moment ago.
sub ports
{
	my ($n) = @_;
	my @s = map { Weir::listener() } 1 .. $n;

	return map { $_->sockport } @s;
}

# Wait until something answers there.
sub open_port
{
	my ($port) = @_;
	my $end = Weir::now() + $Weir::PATIENCE;

	while (Weir::now() < $end) {
		my $s = Weir::dial("127.0.0.1:$port", try => 1);
		return 1 if $s;
		Weir::readable($never, 0.02);
	}
	return 0;
}

# ---- Redis -----------------------------------------------------------------

sub redis
{
	my ($c, @words) = @_;
	my $q = '*' . @words . "\r\n" .
	    join '', map { '$' . length($_) . "\r\n$_\r\n" } @words;

	return Weir::chat($c, $q, qr/^[-+:].*\r\n
	    |^\$(\d+)\r\n(??{".{$1}"})\r\n|^\*2\r\n(?:\$\d+\r\n.*?\r\n){2}/sx);
}

sub redis_login
{
	my ($where) = @_;
	my $c = ref $where ? $where->connect(0) :
	    Weir::dial("127.0.0.1:$where");

	redis($c, 'AUTH', 'wort');
	return $c;
}

sub role { my ($w) = @_; redis(redis_login($w), 'INFO', 'replication') =~
	/role:(\w+)/ ? $1 : '' }

SKIP: {
	my ($redis) = grep { -x } map { "$_/redis-server" } split /:/, $ENV{PATH};
	skip 'no redis-server here', 7 unless $redis;
	my $tmp = folder();
	my $dir = $tmp->dirname;
	my ($a, $b) = ports(2);
	my @common = (qw(--bind 127.0.0.1 --save), '', '--dir', $dir,
	    qw(--requirepass wort --masterauth wort --appendonly no));

	daemon('a', "$dir/log", $redis, '--port', $a, @common);
	daemon('b', "$dir/log", $redis, '--port', $b, @common,
	    '--replicaof', "127.0.0.1 $a");
	open_port($_) or die "redis: " . Weir::slurp("$dir/log") for $a, $b;
	my $w = Weir->start(listen => [Weir::listener()],
	    conf => example('redis.conf', '10.0.0.5:6379' => "127.0.0.1:$a",
		'10.0.0.6:6379' => "127.0.0.1:$b", '*:6379' => 'fd:3'),
	    env => { REDIS_PASSWORD => 'wort' });
	$w->logged(qr/server a of upstream redis is up/);
	$w->logged(qr/server b of upstream redis is down/);
	is(role($w), 'master', 'redis: clients get the master') for 1 .. 3;
	my $old = redis_login($w);
	redis(redis_login($b), qw(REPLICAOF NO ONE));
	redis(redis_login($a), 'REPLICAOF', '127.0.0.1', $b);
	$w->logged(qr/server a of upstream redis is down/);
	$w->logged(qr/server b of upstream redis is up: script passed/);
	is(Weir::get($old), '', 'who was on the old one is let go');
	my $c = redis_login($w);
	like(redis($c, 'CONFIG', 'GET', 'port'), qr/\b$b\b/,
	    'redis: after a failover, the other one');
	is(role($w), 'master', 'which is the master');
	close $c;
	$w->stop;
	end_of($_, 'TERM') for qw(a b);
}

# ---- PostgreSQL ------------------------------------------------------------

# Log in as `weir` and ask the question of the checks, as a session would.
sub in_recovery
{
	my ($w, $i) = @_;
	my $c = $w->connect($i);
	my $start = "\0\3\0\0user\0weir\0database\0postgres\0\0";

	Weir::chat($c, pack('N', 4 + length $start) . $start, qr/Z\0\0\0\x05I$/);
	my $q = "SELECT pg_is_in_recovery()\0";
	my $got = Weir::chat($c, 'Q' . pack('N', 4 + length $q) . $q,
	    qr/Z\0\0\0\x05I$/);
	return $got =~ /D\0\0\0\x0b\0\x01\0\0\0\x01([tf])/ ? $1 : $got;
}

SKIP: {
	my ($bin) = grep { -x "$_/initdb" } reverse(sort(
	    glob '/usr/lib/postgresql/*/bin')), split /:/, $ENV{PATH};
	skip 'no initdb here', 8 unless $bin;
	my $tmp = folder();
	my $dir = $tmp->dirname;
	my $log = "$dir/log";
	my ($a, $b) = ports(2);
	my @run = ("$bin/postgres", '-k', $dir, '-c', 'fsync=off', '-c',
	    'listen_addresses=127.0.0.1');

	run($log, "$bin/initdb", '-D', "$dir/a", qw(-N -A trust -U weir)) or
	    skip 'initdb does not run here: ' . Weir::slurp($log), 8;
	daemon('a', $log, @run, '-D', "$dir/a", '-p', $a);
	my $ready = sub {
		my ($port) = @_;
		my $end = Weir::now() + $Weir::PATIENCE;
		until (run($log, "$bin/pg_isready", '-q', '-h', '127.0.0.1',
		    '-p', $port)) {
			die Weir::slurp($log) if Weir::now() > $end;
			Weir::readable($never, 0.02);
		}
	};
	$ready->($a);
	my $end = Weir::now() + $Weir::PATIENCE;
	until (run($log, "$bin/pg_basebackup", qw(-h 127.0.0.1 -U weir -R -c
	    fast -X stream), '-p', $a, '-D', "$dir/b")) {
		run($log, 'rm', '-rf', "$dir/b");
		die Weir::slurp($log) if Weir::now() > $end;
	}
	daemon('b', $log, @run, '-D', "$dir/b", '-p', $b);
	$ready->($b);
	my $w = Weir->start(listen => [map { Weir::listener() } 1 .. 2],
	    conf => example('postgres.conf', '10.0.0.5:5432' => "127.0.0.1:$a",
		'10.0.0.6:5432' => "127.0.0.1:$b", '*:5432' => 'fd:3',
		'*:5433' => 'fd:4'));
	$w->logged(qr/server a of upstream primary is up/);
	$w->logged(qr/server b of upstream replicas is up/);
	like($w->logged(qr/server b of upstream primary is down/),
	    qr/time-out after 500 ms: step 2 of 3/, 'postgresql: one primary');
	like($w->logged(qr/server a of upstream replicas is down/),
	    qr/time-out after 500 ms: step 2 of 3/, 'and one replica');
	is(in_recovery($w, 0), 'f', 'writers get the primary');
	is(in_recovery($w, 1), 't', 'readers get the replica');
	end_of('a', 'QUIT');
	$w->logged(qr/server a of upstream primary is down/);
	run($log, "$bin/pg_ctl", 'promote', '-D', "$dir/b") or
	    die Weir::slurp($log);
	$w->logged(qr/server b of upstream primary is up/);
	is(in_recovery($w, 0), 'f', 'writers get the new primary');
	$w->logged(qr/server b of upstream replicas is down/);
	is(in_recovery($w, 1), 'f', 'and so do readers');
	$w->stop;
	unlike(Weir::slurp($log), qr/incomplete startup|unexpected EOF on client/,
	    'checks say good-bye');
	end_of('b', 'QUIT');
}

# ---- Patroni ---------------------------------------------------------------

{
	my $tmp = Weir::folder();
	my $leader = $tmp->dirname . '/leader';
	Weir::spew($leader, 'a');
	my %db = map { my $n = $_; ($n => Weir::Peer->greeting($n)) } qw(a b c);
	my %rest = map {
		my $name = $_;
		($name => Weir::Peer->server({ data => sub {
			my ($p, $c) = @_;
			return if $c->{got} !~ m{^GET /(\w+) .*\r\n\r\n}s;
			my $is = Weir::slurp($leader) eq $name ?
			    'primary' : 'replica';
			$p->put($c, 'HTTP/1.0 ' . ($1 eq $is ?
			    "200 OK" : "503 Service Unavailable") .
			    "\r\nContent-Type: application/json\r\n\r\n{}");
			$p->end($c);
		} }));
	} qw(a b c);
	my %to = ('*:5432' => 'fd:3', '*:5433' => 'fd:4');
	my %ip = (a => 5, b => 6, c => 7);
	# On one machine each needs a port of its own.
	my $text = example('patroni.conf', %to,
	    map { ("10.0.0.$ip{$_}:5432" => $db{$_}{addr}) } keys %db);
	my @listen = map { Weir::listener() } 1 .. 2;
	my %conf = map {
		my $x = $_;
		($x => $text =~ s/port = 8008/port = $rest{$x}{port}/gr =~
		    s/\{ name = "(?!$x)\w"[^}]*\},?//gr =~ s/,\s*\)/ )/gr)
	} keys %rest;
	for my $name (qw(a b)) {
		my $w = Weir->start(listen => [map { Weir::listener() } 1 .. 2],
		    conf => $conf{$name});
		my ($is, $not) = $name eq 'a' ? qw(primary replicas) :
		    qw(replicas primary);
		like($w->logged(qr/server $name of upstream $is is up/),
		    qr/status 200$/, "patroni: $name of $is");
		like($w->logged(qr/server $name of upstream $not is down/),
		    qr/status 503$/, "patroni: not of $not");
		is(Weir::get($w->connect($is eq 'primary' ? 0 : 1), 1), $name,
		    'which serves');
		$w->stop;
	}
}

# ---- Mail ------------------------------------------------------------------

{
	my $mail = sub {
		my ($greeting) = @_;
		return Weir::Peer->server({
			accept => sub { $_[0]->put($_[1], $greeting) },
			data => sub {
				my ($p, $c, $bytes) = @_;
				$c->{line} .= $bytes;
				return if $c->{line} !~ s/^(\w+).*\r\n//;
				$p->put($c, $1 eq 'EHLO' ?
				    "250-mx\r\n250 SIZE 1000\r\n" :
				    "221 bye\r\n");
				$p->end($c) if $1 eq 'QUIT';
			},
			eof => sub { $_[0]->end($_[1]) },
		});
	};
	my $good = $mail->("220-mx waits\r\n220 mx ESMTP\r\n");
	my $busy = $mail->("421 too busy\r\n");
	my $w = Weir->start(listen => [Weir::listener()],
	    conf => example('smtp.conf', '10.0.0.5:25' => $good->{addr},
		'10.0.0.6:25' => $busy->{addr}, '*:25' => 'fd:3',
		'"5s"' => '"500ms"'));
	$w->logged(qr/server mx1 of upstream mail is up: script passed/);
	$w->logged(qr/server mx2 of upstream mail is down: time-out/);
	my $c = $w->connect(0);
	like(Weir::get($c, qr/ESMTP/), qr/^220-mx/, 'mail: the one that greets');
	close $c;
	like($good->stats->{got}[0], qr/^EHLO weir\.invalid\r\nQUIT\r\n$/,
	    'mail: a check is polite');
	$w->stop;
}

done_testing();
