#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# A reload that is refused changes nothing: same processes, same answers, one
# clear message, exit status 1, and nobody who connects meanwhile is lost.
use strict;
use warnings;
use lib 't/lib';
use Weir::Net;
use Test::More;
use Weir;
use Weir::Load;
use Weir::Peer;

my $WEB = '127.0.0.1:5001';
my $echo = Weir::Peer->echo;
# Who connects while one is refused; half of them before it is asked for.
my $CLIENTS = $Weir::SLOW ? 100 : 10;
my $refused = 0;

sub conf
{
	my (%o) = @_;

	$o{listen} //= '';
	$o{more} //= '';
	return <<"EOT";
upstreams = { e = { servers = "${\$echo->addr}"; }; };
listeners = { web = { listen = "$WEB"; upstream = "e"; }; $o{listen} };
$o{more}
EOT
}

sub everybody
{
	my ($w) = @_;

	return join ' ', sort map { "$_->{pid} $_->{title}" } $w->processes;
}

my $w = Weir->start(workers => 2, conf => conf());
my $all = everybody($w);

sub queue
{
	my ($n) = @_;

	return @{Weir::Load::queue($WEB, $n)};
}

sub refused
{
	my ($name, $st, $said, $why) = @_;

	$refused += is($st, 1, "$name: refused");
	like($said, $why, "$name: and why");
	is(everybody($w), $all, "$name: all processes are the same");
}

# ---- What the file says ---------------------------------------------------

# Each of t/broken, one after the other, under load.
{
	my $load = Weir::Load->start($WEB, rate => 200, idle => 20, busy => 5);
	my @wrong;
	my $dir = Weir::folder();
	my @files = Weir::broken($dir);

	# weir.conf among the files that they name.
	system("cp -R $dir/. $w->{dir}") == 0 or die 'cannot copy';
	@files = @files[grep { $_ % 4 == 0 } 0 .. $#files]
	    unless $Weir::SLOW;
	for my $file (@files) {
		Weir::spew($w->{conf}, Weir::slurp($file));
		my @queue = queue($CLIENTS / 2);
		my ($st, $out, $err) = $w->ask('reload');
		push @queue, queue($CLIENTS / 2);
		my $got = Weir::Load::harvest(\@queue);
		push @wrong, "$file: $st $err" unless $st eq '1' &&
		    $err =~ /^\S*weir\.conf(?::\d+)?: |^\S+:\d+: /m &&
		    $err =~ /nothing was changed/;
		push @wrong, "$file: $got" if $got ne "$CLIENTS ok";
		$refused++ if $st eq '1';
	}
	is(join("\n", @wrong), '', @files . ' broken files are refused');
	is(everybody($w), $all, 'all processes are the same');
	my ($text) = $load->end;
	is($text =~ s/\d+ ok, //r, '5 ok busy, 20 ok idle',
	    'nobody lost anything') or
	    diag("$text\n", map { "$_\n" } @{$load->{why}});
}

# What a file names, and the machine does not have.
my $stranger = Weir::listener(port => 5099);
for my $bad (
	['a busy port', conf(listen =>
	    'x = { listen = "127.0.0.1:5099"; upstream = "e"; };'),
	    qr/weir\.conf:\d+: .*127\.0\.0\.1:5099.*Address already in use/],
	['an address of another machine', conf(listen =>
	    'x = { listen = "192.0.2.1:5098"; upstream = "e"; };'),
	    qr/weir\.conf:\d+: .*192\.0\.2\.1:5098.*no such address/],
	['a busy port among good ones', conf(listen =>
	    'x = { listen = [ "127.0.0.1:5097", "127.0.0.1:5099" ]; ' .
	    'upstream = "e"; };'),
	    qr/127\.0\.0\.1:5099.*Address already in use/],
	['a folder for a socket that is not there', conf(listen =>
	    'x = { listen = "unix:/nonexistent/s"; upstream = "e"; };'),
	    qr{weir\.conf:\d+: .*/nonexistent/s}],
	['a page that is not there', conf(listen =>
	    'x = { listen = "127.0.0.1:5098"; ' .
	    'return = { file = "/nonexistent/page"; }; };'),
	    qr{weir\.conf:\d+: .*/nonexistent/page}],
	['a descriptor that was not inherited', conf(listen =>
	    'x = { listen = "fd:7"; upstream = "e"; };'),
	    qr/weir\.conf:\d+: .*fd:7/],
	['a key that takes an upgrade', conf(more =>
	    'pid = "/tmp/another.pid";'), qr/weir\.conf:\d+: pid .*upgrade/],
	['a log that cannot be opened', conf(more =>
	    'error_log = { to = "/nonexistent/log"; };'),
	    qr{weir\.conf:\d+: error_log = "/nonexistent/log"}],
	['an empty file', \'', qr/weir\.conf: nothing is in it/],
	['a file of comments', \"# gone\n", qr/weir\.conf: nothing is in it/],
	['no file', undef, qr/weir\.conf/],
) {
	my ($name, $text, $why) = @$bad;
	my @queue = queue($CLIENTS / 2);

	unlink $w->{conf} unless defined $text;
	# As it is, without what all files of tests say.
	Weir::spew($w->{conf}, $$text) if ref $text;
	my ($st, $said) = $w->reload(ref $text ? undef : $text);
	push @queue, queue($CLIENTS / 2);
	refused($name, $st, $said, $why);
	is(Weir::Load::harvest(\@queue), "$CLIENTS ok", "$name: it serves");
	ok(!Weir::dial("127.0.0.1:$_", try => 1, timeout => 1),
	    "$name: nothing new listens") for 5097, 5098;
}
is(scalar $w->reload(conf()), '0', 'the good file is taken');
$w->stop;

# ---- What processes say ----------------------------------------------------

# One that dies again while it is asked.  The other one is stopped, so that
# the outcome waits for what the test does.
{
	my $more = 'watchdog = { interval = "60s"; limit = "off"; };';
	my $w = Weir->start(workers => 2, conf => conf(more => $more));
	my ($good, $victim) = $w->workers;

	$w->signal('STOP', $good);
	my $job = Weir::Peer->job(sub {
		my ($st, $said) = $w->reload(conf(more => $more, listen =>
		    'x = { listen = "127.0.0.1:5098"; upstream = "e"; };'));
		return { st => $st, said => $said };
	});
	$w->logged(qr/told to reload/);
	my @queue = queue($CLIENTS);
	for (1 .. 2) {
		$w->signal('KILL', $victim);
		my $dead = $victim;
		$victim = $w->until('another one', sub {
			my ($new) = grep { $_ != $good && $_ != $dead }
			    $w->workers;
			return $new;
		});
	}
	my $r = $job->result;
	$refused += is($r->{st}, 1, 'a worker that dies twice: refused');
	like($r->{said}, qr/worker 1: died twice/,
	    'and the message names it');
	$w->signal('CONT', $good);
	# The victim owned what it had accepted; it dies as fast as it can.
	my $got = Weir::Load::harvest(\@queue);
	like($got, qr/^\d+ ok(?:, \d+ (?:eof|reset))*$/, "of those $got");
	cmp_ok(($got =~ /^(\d+)/)[0], '>=', $CLIENTS / 4,
	    'those that it had not accepted are served');
	ok((grep { $_ == $good } $w->workers), 'the other lives');
	ok(!Weir::dial('127.0.0.1:5098', try => 1, timeout => 1),
	    'nothing new listens');
	is(Weir::Load::harvest(Weir::Load::queue($WEB, 20)), '20 ok',
	    'and it serves');
	is(scalar $w->reload(conf(more => $more)), '0',
	    'the next reload is done');
	$w->stop;
}

# One that dies once is asked once more.
{
	my $w = Weir->start(workers => 2, conf => conf());
	my ($good, $victim) = $w->workers;

	$w->signal('STOP', $victim);
	$w->conf(conf());
	$w->signal('HUP');
	$w->logged(qr/told to reload|HUP/);
	$w->signal('KILL', $victim);
	ok(eval { $w->logged(qr/generation 2 is in use/) },
	    'a worker that dies once does not stop a reload');
	$w->stop;
}

# One that says nothing, and nobody who looks after it.
{
	my $slow = 'reload_timeout = "1s"; watchdog = { interval = "60s"; ' .
	    'limit = "off"; };';
	my $w = Weir->start(workers => 2, conf => conf(more => $slow));
	my ($good, $victim) = $w->workers;
	my $old = Weir::dial($WEB);

	is(Weir::chat($old, "hello\n", qr/\n/), "hello\n", 'a session');
	$w->signal('STOP', $victim);
	my @queue = queue($CLIENTS);
	my ($st, $said) = $w->reload(conf(more => $slow));
	$refused += is($st, 1, 'a silent worker: refused');
	like($said, qr/worker 1\b.*did not answer/, 'and named');
	$w->signal('CONT', $victim);
	is(Weir::Load::harvest(\@queue), "$CLIENTS ok",
	    'nobody who connected meanwhile is lost');
	is(scalar $w->reload(conf(more => $slow)), '0',
	    'when it goes on, the next reload is done');
	is(join(' ', $w->workers), "$good $victim", 'by the same workers');
	is(Weir::chat($old, "hello\n", qr/\n/), "hello\n",
	    'the session goes on');
	close $old;
	$w->stop;
}
cmp_ok($refused, '>=', $Weir::SLOW ? 100 : 30, "$refused were refused");
done_testing;
