#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# The command line: what each option does, and with which exit status.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use IO::Socket::UNIX;
use Weir;

my $dir = Weir::folder();

sub conf
{
	my ($text) = @_;

	Weir::spew("$dir/weir.conf", $text);
	return ('-c', "$dir/weir.conf");
}

# One run: the exit status, and what must stand on output and error.
sub runs
{
	my ($name, $args, $status, $out, $err) = @_;
	my ($st, $o, $e) = Weir::run(@$args);

	is($st, $status, "$name: exit status $status") or diag($o, $e);
	like($o, $out, "$name: output") if defined $out;
	like($e, $err, "$name: errors") if defined $err;
}

my $none = qr/\A\z/;
my $usage = qr/^usage: weir/m;
my @good = conf(<<'EOT');
upstreams = { app = { servers = "127.0.0.1:1"; }; };
listeners = { web = { listen = "127.0.0.1:1"; upstream = "app"; }; };
EOT

runs('-v', ['-v'], 0, qr/\Aweir \d+\.\d+\.\d+\n\z/, $none);
runs('-V', ['-V'], 0, qr/^backends: .*\bpoll\b/m, $none);
my (undef, $all) = Weir::run('-V');
like($all, qr/^libraries: .*libconfig/m, '-V names libraries');
like($all, qr/^memory per session: \d+ bytes$/m, '-V says what a session costs');
runs('-h', ['-h'], 0, $usage, $none);

runs('an unknown option', ['-x'], 2, $none, qr/-x.*$usage/s);
runs('a word', ['start'], 2, $none, $usage);
runs('-s without a word', ['-s'], 2, $none, $usage);
runs('-s with a wrong word', ['-s', 'restart'], 2, $none,
    qr/restart: -s does not know this word/);
runs('two things at once', ['-t', '-s', 'stop'], 2, $none, qr/^weir: -s: /m);
runs('-t and -T', ['-tT'], 2, $none, $usage);
runs('-t twice', ['-tt', @good], 0, qr/ok/, undef);
runs('--pid without -s', ['--pid', '/x', @good], 2, $none, qr/with -s only/);
runs('-c without a file', ['-c'], 2, $none, $usage);
runs('a long one without its value', ['--pid'], 2, $none, $usage);

runs('-t', ['-t', @good], 0, qr/weir\.conf: ok/, undef);
runs('-tq', ['-tq', @good], 0, $none, $none);
runs('-t joined', ['-tc', $good[1]], 0, qr/ok/, undef);
runs('-t of no file', ['-t', '-c', "$dir/none"], 1, $none, qr/none/);
runs('-T', ['-T', @good], 0, qr/\bworkers\b/, undef);

my @bad = conf("wrkers = 2;\nlisteners = { };\n");
runs('-t of a broken file', ['-t', @bad], 1, $none,
    qr/weir\.conf:1: .*wrkers.*workers/);
runs('-T of a broken file', ['-T', @bad], 1, undef, qr/wrkers/);
runs('a start with a broken file', [@bad], 1, $none, qr/weir\.conf:1: /);
ok(!-e "$dir/weir.pid", 'and nothing was made');
my @homeless = conf("listeners = { };\npid = \"/nonexistent/weir.pid\";\n");
runs('a pid file that cannot be made', [@homeless], 1, $none,
    qr{weir\.conf:2: pid = "/nonexistent/weir\.pid": });

# -s finds the master by --pid, by the file, even if that is broken.
for my $word (qw(reload reopen quit stop upgrade status)) {
	runs("-s $word without a weir",
	    ['-s', $word, '--pid', "$dir/none.pid"], 1, $none,
	    qr/not running.*none\.pid/);
}
my @lost = conf("pid = \"$dir/lost.pid\";\nlisteners = { = };\n");
runs('-s by a broken file', ['-s', 'status', @lost], 1, $none,
    qr/lost\.pid/);
mkdir "$dir/conf.d";
Weir::spew("$dir/conf.d/a.conf", "listeners = { = };\n");
Weir::spew("$dir/conf.d/b.conf", "pid = \"b.pid\";\n");
my @apart = conf("include = [ \"conf.d/none.conf\", \"conf.d/*.conf\" ];\n");
runs('-s by an included file', ['-s', 'status', @apart], 1, $none,
    qr{conf\.d/b\.pid});
runs('-s by a prefix', ['-s', 'status', '-c', "$dir/none", '-p', $dir], 1,
    $none, qr{\Q$dir\E/none: No such file.*\Q$dir\E/weir\.pid}s);
Weir::spew("$dir/garbage.pid", "all\0kinds of things");
runs('-s with garbage in the pid file',
    ['-s', 'quit', '--pid', "$dir/garbage.pid"], 1, $none,
    qr/not running/);
Weir::spew("$dir/one.pid", "1\n");
runs('-s with a pid that is another\'s',
    ['-s', 'stop', '--pid', "$dir/one.pid"], 1, $none, qr/not running/);
ok(kill(0, 1) || $!{EPERM}, 'which was left alone');
runs('-s with a path that is too long',
    ['-s', 'status', '--pid', '/tmp/' . 'x' x 120], 1, $none,
    qr/too long/);

# With one that runs.
my $in = Weir::listener();
my $w = Weir->start(listen => [$in], conf => <<'EOT');
listeners = { web = { listen = "fd:3"; return = 204; }; };
EOT
my $pid = "$w->{dir}/weir.pid";
runs('status', ['-s', 'status', '--pid', $pid], 0, qr/\A\{.*\}\n\z/s, $none);
runs('by the file', ['-s', 'status', '-c', $w->{conf}], 0, qr/\A\{/, $none);
runs('reload', ['-s', 'reload', '--pid', $pid], 0, $none, $none);
runs('reopen', ['-s', 'reopen', '--pid', $pid], 0, $none, $none);
my $text = Weir::slurp($w->{conf});
Weir::spew($w->{conf}, "$text\nfoo = 1;\nbar = 2;\n");
my ($st, $out, $err) = $w->ask('reload');
is($st, 1, 'a broken reload: exit status 1');
like($err, qr/:\d+: .*foo.*:\d+: .*bar/s, 'every error, with its place');
runs('status by a broken file', ['-s', 'status', '-c', $w->{conf}], 0,
    qr/\A\{/, $none);

# The socket is the owner's only, and not moved by nonsense.
is((stat "$pid.sock")[2] & 0777, 0600, 'the socket is for its owner');
for my $say ("nonsense\n", "\n", 'x' x 100, "status\0\n") {
	my $s = IO::Socket::UNIX->new(Peer => "$pid.sock");
	like(Weir::chat($s, $say), qr/\A2 2\n/, 'nonsense is refused');
}
my $mute = IO::Socket::UNIX->new(Peer => "$pid.sock");
my $half = IO::Socket::UNIX->new(Peer => "$pid.sock");
Weir::put($half, 'stat');
runs('while others say nothing', ['-s', 'status', '--pid', $pid], 0,
    qr/\A\{/, $none);
Weir::put($half, "us\n");
like(Weir::get($half), qr/\A0 1\n\{/, 'a word may come in pieces');
runs('quit', ['-s', 'quit', '--pid', $pid], 0, $none, $none);
$w->stop;
ok(!-e $_, "$_ is gone") for $pid, "$pid.sock", "$pid.d";
done_testing();
