#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# Real programs talk through weir: redis, PostgreSQL, nginx and curl.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Weir;
use Weir::Peer;

my $COMMANDS = $Weir::SLOW ? 1_000_000 : 20_000;
my $SECONDS = $Weir::SLOW ? 20 : 2;
my $BYTES = $Weir::SLOW ? 1 << 30 : 32 << 20;
($COMMANDS, $BYTES) = (500, 256 << 10) if $Weir::CHOP;

my $dir = Weir::folder();
my ($nobody) = (getpwnam 'nobody')[2] // 65534;
my @servers;

sub find
{
	my ($name) = @_;

	for my $d (split(/:/, $ENV{PATH}), '/usr/sbin',
	    sort { $b cmp $a } glob '/usr/lib/postgresql/*/bin') {
		return "$d/$name" if -x "$d/$name";
	}
	return;
}

# A folder that the server, who is not root, may write.
sub home
{
	my ($name) = @_;

	mkdir "$dir/$name";
	chown $nobody, -1, "$dir/$name" if $> == 0;
	return "$dir/$name";
}

# Run a command with its output in a file: the exit status.  Not as root.
sub command
{
	my ($log, @cmd) = @_;
	my $pid = launch($log, @cmd);

	waitpid $pid, 0;
	return $?;
}

sub launch
{
	my ($log, @cmd) = @_;
	my $pid = fork // die "fork: $!";

	return $pid if $pid;
	open STDIN, '<', $log =~ s/\.log$/.in/r or
	    open STDIN, '<', '/dev/null';
	open STDOUT, '>', $log;
	open STDERR, '>&', \*STDOUT;
	if ($> == 0) {
		$( = $) = "$nobody $nobody";
		POSIX::setuid($nobody);
		chdir '/';
	}
	exec { $cmd[0] } @cmd or POSIX::_exit(127);
}

# Start a server and wait until its unix socket answers.
sub server
{
	my ($home, $sock, @cmd) = @_;
	my $end = Weir::now() + $Weir::PATIENCE;

	push @servers, launch("$home/out.log", @cmd);
	pipe my $never, my $silent;
	until (Weir::dial("unix:$sock", try => 1)) {
		die "$cmd[0] does not start:\n" . Weir::slurp("$home/out.log")
		    if Weir::now() > $end;
		Weir::readable($never, 0.02);
	}
}

END {
	local $?;
	kill 'INT', @servers;
	waitpid $_, 0 for @servers;
}

sub weir
{
	my ($server) = @_;

	return Weir->start(listen => [Weir::listener()], conf => <<"EOT");
upstreams = { real = { servers = "unix:$server"; }; };
listeners = { real = { listen = "fd:3"; upstream = "real"; }; };
EOT
}

subtest 'redis-cli --pipe' => sub {
	my ($redis, $cli) = map { find($_) } qw(redis-server redis-cli);
	plan skip_all => 'no redis here' unless $redis && $cli;
	my $home = home('redis');
	server($home, "$home/redis.sock", $redis, '--port', 0, '--unixsocket',
	    "$home/redis.sock", '--save', '', '--dir', $home);
	my $w = weir("$home/redis.sock");
	my ($port) = $w->addr =~ /:(\d+)$/;

	open my $in, '>', "$home/pipe.in" or die;
	print {$in} "*3\r\n\$3\r\nSET\r\n\$" . length("k$_") .
	    "\r\nk$_\r\n\$5\r\nvalue\r\n" for 1 .. $COMMANDS;
	close $in;
	is(command("$home/pipe.log", $cli, '-p', $port, '--pipe'), 0,
	    'it ends well');
	like(Weir::slurp("$home/pipe.log"),
	    qr/errors: 0, replies: $COMMANDS\b/, "$COMMANDS commands");
	command("$home/size.log", $cli, '-p', $port, 'dbsize');
	like(Weir::slurp("$home/size.log"), qr/\b$COMMANDS\b/,
	    'all have arrived');
	$w->stop;
};

subtest 'pgbench' => sub {
	my ($initdb, $postgres, $pgbench, $psql) = map { find($_) }
	    qw(initdb postgres pgbench psql);
	plan skip_all => 'no PostgreSQL here' unless $initdb && $postgres &&
	    $pgbench && $psql;
	my $home = home('pg');
	is(command("$home/init.log", $initdb, '-D', "$home/data", '-A', 'trust',
	    '-U', 'weir', '-N', '--no-locale', '-E', 'UTF8'), 0, 'initdb') or
	    diag(Weir::slurp("$home/init.log"));
	server($home, "$home/.s.PGSQL.5432", $postgres, '-D', "$home/data",
	    '-k', $home, '-c', 'listen_addresses=', '-c', 'fsync=off',
	    '-c', 'shared_buffers=32MB');
	my $w = weir("$home/.s.PGSQL.5432");
	my ($port) = $w->addr =~ /:(\d+)$/;
	my @to = ('-h', '127.0.0.1', '-p', $port, '-U', 'weir', 'postgres');

	# The server listens before it lets clients in.
	$w->until('PostgreSQL to let us in', sub {
		return !command("$home/psql.log", $psql, '-c', 'select 1', @to);
	});
	is(command("$home/fill.log", $pgbench, '-i', '-q', @to), 0,
	    'pgbench -i') or diag(Weir::slurp("$home/fill.log"));
	is(command("$home/bench.log", $pgbench, '-S', '-c', 32, '-j', 2, '-T',
	    $SECONDS, @to), 0, "32 clients for $SECONDS s");
	like(Weir::slurp("$home/bench.log"), qr/failed transactions: 0 /,
	    'no transaction failed');
	$w->stop;
};

subtest 'curl and nginx' => sub {
	my ($nginx, $curl) = map { find($_) } qw(nginx curl);
	plan skip_all => 'no nginx or curl here' unless $nginx && $curl;
	my $home = home('nginx');
	open my $file, '>', "$home/file" or die;
	print {$file} Weir::Peer::block($_) for 0 .. $BYTES / 65536 - 1;
	close $file;
	my $tmp = join '', map { "${_}_temp_path $home/$_;\n" }
	    qw(client_body proxy fastcgi uwsgi scgi);
	Weir::spew("$home/nginx.conf", <<"EOT");
daemon off;
master_process off;
pid $home/nginx.pid;
error_log $home/error.log;
events { }
http {
access_log off;
$tmp
server { listen unix:$home/nginx.sock; root $home; }
}
EOT
	server($home, "$home/nginx.sock", $nginx, '-e', "$home/error.log",
	    '-c', "$home/nginx.conf");
	my $w = weir("$home/nginx.sock");

	is(command("$home/curl.log", $curl, '-sSf', '-o', "$home/copy",
	    'http://' . $w->addr . '/file'), 0, 'curl') or
	    diag(Weir::slurp("$home/curl.log"));
	open my $copy, '<', "$home/copy" or die;
	is(Digest::MD5->new->addfile($copy)->hexdigest,
	    Weir::Peer::stream_md5($BYTES), "$BYTES bytes, equal checksums");
	unlink "$home/copy", "$home/file";
	$w->stop;
};
done_testing();
