#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# A reload changes the running workers: nobody who is connected, or connects,
# notices anything but the change.
use strict;
use warnings;
use lib 't/lib';
use Weir::Net;
use Digest::MD5 ();
use Test::More;
use Weir;
use Weir::Load;
use Weir::Peer;

my $WEB = '127.0.0.1:5001';
my $NEW = '127.0.0.1:5002';
my $ASAN = Weir::slurp($Weir::PROGRAM) =~ /__asan_init/;
my $SOAK = $ENV{WEIR_SOAK} // ($Weir::SLOW ? 1000 : 150);

my ($one, $two) = map { Weir::Peer->greeting("$_\n") } qw(one two);
my $echo = Weir::Peer->echo;

# Who answers at an address.
sub greeted
{
	my ($to) = @_;
	my $s = Weir::dial($to, try => 1, timeout => 2) or return 'refused';

	return Weir::get($s, qr/\n/);
}

sub conf
{
	my (%o) = @_;
	my $server = ($o{server} // $one)->addr;

	$o{listen} //= qq(web = { listen = "$WEB"; upstream = "a"; };);
	$o{more} //= '';
	return <<"EOT";
upstreams = { a = { servers = "$server"; }; };
listeners = { $o{listen} };
$o{more}
EOT
}

# What changes, and what does not.
{
	my $w = Weir->start(workers => 3, conf => conf());
	my @workers = $w->workers;
	my $old = Weir::dial($WEB);

	is(Weir::get($old, qr/\n/), "one\n", 'the first server answers');
	is(scalar $w->reload(conf(server => $two)), '0', 'another server');
	is(greeted($WEB), "two\n", 'new sessions go there');
	is(Weir::chat($old, "still here\n", qr/\n/), "still here\n",
	    'an established one stays where it is');
	close $old;

	is(scalar $w->reload(conf(listen => <<"EOT")), '0', 'a listener more');
web = { listen = "$WEB"; upstream = "a"; };
new = { listen = [ "$NEW", "unix:$w->{dir}/s" ]; return = { body = "hi\\n"; }; };
EOT
	is(greeted($WEB), "one\n", 'the old one is there');
	like(Weir::chat(Weir::dial($NEW), "GET / HTTP/1.0\r\n\r\n", undef),
	    qr/hi\n$/, 'and the new one');
	like(Weir::chat(Weir::dial("unix:$w->{dir}/s"),
	    "GET / HTTP/1.0\r\n\r\n", undef), qr/hi\n$/, 'and its other');
	is($w->status->{listeners}{web}{accepted}, 3, 'counters are kept');

	is(scalar $w->reload(conf()), '0', 'without it');
	is(greeted($WEB), "one\n", 'the old one is still there');
	$w->until('the removed one to refuse', sub {
		return greeted($NEW) eq 'refused';
	});
	ok(!-e "$w->{dir}/s", 'its unix socket is gone');
	is_deeply([$w->workers], \@workers, 'all workers are the same');

	# The same address under another name.
	is(scalar $w->reload(conf(listen =>
	    qq(other = { listen = "$WEB"; return = { body = "x\\n"; }; };))),
	    '0', 'another listener takes the address');
	like(Weir::chat(Weir::dial($WEB), "GET / HTTP/1.0\r\n\r\n", undef),
	    qr/x\n$/, 'and answers there');
	is($w->status->{listeners}{other}{accepted}, 1, 'and counts it');

	# A wider address on the same port.
	is(scalar $w->reload(conf(listen =>
	    qq(web = { listen = "*:5001"; upstream = "a"; };))), '0',
	    'a wider address');
	is(greeted($WEB), "one\n", 'serves the narrower');

	# Keys that only a new worker can take.
	is(scalar $w->reload(conf(more =>
	    'events = { buffers = "8m"; };')), '0', 'events.buffers');
	$w->until('all workers to be new', sub {
		my %now = map { $_ => 1 } $w->workers;
		return keys %now == 3 && !grep { $now{$_} } @workers;
	});
	is(greeted($WEB), "one\n", 'new workers serve');
	$w->stop;
}

# The log says what changed.
{
	my $w = Weir->start(conf => conf());

	$w->mark;
	$w->reload(conf(server => $two, listen => <<"EOT"));
web = { listen = "$NEW"; upstream = "a"; };
EOT
	for my $line (qr/\Q$WEB\E.*removed/, qr/\Q$NEW\E.*added/,
	    qr/servers added: a\//) {
		ok(eval { $w->logged($line) }, "the log has $line");
	}
	$w->stop;
}

# Files that are named are read again.
{
	my $dir = Weir::folder();
	my $page = "$dir/page";
	my $ask = sub {
		return Weir::chat(Weir::dial($WEB), "GET / HTTP/1.0\r\n\r\n",
		    undef);
	};

	Weir::spew($page, "first\n");
	my $w = Weir->start(conf => conf(listen => <<"EOT"));
web = { listen = "$WEB"; return = { file = "$page"; }; };
EOT
	like($ask->(), qr/first\n$/, 'a file is answered');
	Weir::spew($page, "second\n");
	like($ask->(), qr/first\n$/, 'as it was read');
	is(scalar $w->reload, '0', 'a reload');
	like($ask->(), qr/second\n$/, 'reads it again');
	$w->stop;
}

# Many who ask at once get one outcome.
{
	my $w = Weir->start(conf => conf());
	my @jobs = map {
		Weir::Peer->job(sub { return { st => scalar $w->reload } })
	} 1 .. 10;

	is(join(' ', map { $_->result->{st} } @jobs), join(' ', (0) x 10),
	    'ten who ask at once are told that it was done');
	$w->signal('HUP') for 1 .. 50;
	is(scalar $w->reload, '0', 'after fifty signals too');
	is(greeted($WEB), "one\n", 'and it serves');
	$w->stop;
}

# Any number of workers, one after the other, while slow downloads run.
SKIP: {
	skip 'under valgrind: too slow for so much', 1 if $Weir::VALGRIND;

	my $bytes = $Weir::SLOW ? 5 << 20 : $Weir::CHOP ? 64 << 10 : 1 << 20;
	my $source = Weir::Peer->source($bytes);
	my $both = sub {
		return <<"EOT";
workers = $_[0];
upstreams = { a = { servers = "${\$echo->addr}"; };
  s = { servers = "${\$source->addr}"; }; };
listeners = { web = { listen = "$WEB"; upstream = "a"; };
  big = { listen = "$NEW"; upstream = "s"; }; };
EOT
	};
	my $w = Weir->start(workers => 3, conf => $both->(3));
	my $load = Weir::Load->start($WEB, rate => 150, idle => 20, busy => 5,
	    most => 125);
	my @big = map { [Weir::dial($NEW, rcvbuf => 16384), ''] } 1 .. 20;
	my @counts = map { 1 + int rand 8 } 1 .. ($Weir::SLOW ? 60 : 12);
	my $bad = 0;

	for my $n (@counts) {
		$bad++ if $w->reload($both->($n)) ne '0';
		# A little of each, so that all of them last.
		for my $d (@big) {
			sysread $d->[0], $d->[1], 4096, length $d->[1]
			    if Weir::readable($d->[0], 0);
		}
	}
	is($bad, 0, "workers: @counts");
	my ($text) = $load->end;
	is($text =~ s/^\d+ ok, //r, '5 ok busy, 20 ok idle',
	    'with any number of workers nobody lost anything') or
	    diag("$text\n", map { "$_\n" } @{$load->{why}});
	my $want = Weir::Peer::stream_md5($bytes);
	my $good = grep {
		$_->[1] .= Weir::get($_->[0], undef);
		Digest::MD5::md5_hex($_->[1]) eq $want;
	} @big;
	is($good, 20, 'twenty slow downloads are whole');
	close $_->[0] for @big;
	$w->stop;
}

# Reload after reload under load: see what is lost, and what grows.
SKIP: {
	skip 'under valgrind: too slow for so much', 1 if $Weir::VALGRIND;

	my $n = 2;
	my $w = Weir->start(workers => $n, conf => soak_conf(0, $n));
	my @first = $w->workers;
	my ($idle, $busy) = $Weir::SLOW ? (2000, 50) : (200, 10);
	my ($bad, $most, $load, %fds, %rss) = (0, 0);

	for my $i (1 .. $SOAK) {
		$n = 2 + $i / 8 % 3 if $i % 8 == 0;
		$bad++ if $w->reload(soak_conf($i, $n)) ne '0';
		# One that has ended its last session is on its way out.
		my $now = grep { $_->{role} eq 'worker' &&
		    $_->{phase} ne 'gone' } @{$w->status->{processes}};
		$most = $now if $now > $most;
		# Before there are sessions, and after them: those under way
		# are many where others have the machine for a while.
		if ($i == 6) {
			$fds{$_} = $w->fds($_) for $w->{pid}, @first;
			$load = Weir::Load->start($WEB, idle => $idle,
			    busy => $busy, rate => $Weir::SLOW ? 250 : 120,
			    most => $idle + $busy + 100);
		}
		next unless $i == 24 || $i == $SOAK;
		push @{$rss{$_}}, $w->memory($_)->{Anonymous}
		    for $w->{pid}, @first;
	}
	is($bad, 0, "$SOAK reloads are done");
	is(scalar(grep { kill 0, $_ } @first), 2,
	    'the first two workers live');
	cmp_ok($most, '<=', 4, 'never more workers than the largest number');
	my ($text) = $load->end;
	is($text =~ s/^\d+ ok, //r, "$busy ok busy, $idle ok idle",
	    'nobody lost anything') or
	    diag("$text\n", map { "$_\n" } @{$load->{why}});
	for my $pid ($w->{pid}, @first) {
		my $who = $pid == $w->{pid} ? 'master' : 'worker';
		my ($mem, $mem_end) = @{$rss{$pid}};
		my $fds;

		eval { $w->until('the last sessions to end', sub {
			return ($fds = $w->fds($pid)) <= $fds{$pid} + 4;
		}) };
		cmp_ok($fds, '<=', $fds{$pid} + 4,
		    "descriptors of the $who do not grow: $fds{$pid}, $fds");
		SKIP: {
			skip 'a sanitizer keeps what is freed', 1 if $ASAN;
			cmp_ok($mem_end, '<=', $mem + (1 << 20),
			    "memory of the $who does not grow: " .
			    "$mem, $mem_end");
		}
	}
	$w->stop;
}

sub soak_conf
{
	my ($i, $n) = @_;
	my $idle = 3600 + $i;
	my $more = $i % 3 == 0 ? '' :
	    qq(extra = { listen = "$NEW"; upstream = "a"; };);
	my $second = $i % 2 ? '' : qq(, "127.0.0.1:5003");

	# The second server is one that refuses: sessions go to the first.
	return <<"EOT";
workers = $n;
upstreams = { a = { servers = ( "${\$echo->addr}"$second ); }; };
listeners = { web = { listen = "$WEB"; upstream = "a";
  timeouts = { idle = "${idle}s"; }; }; $more };
EOT
}
done_testing;
