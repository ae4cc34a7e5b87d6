#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# The status of ten thousand servers: whole, in little memory, and nobody who
# asks holds up the checks, the configuration or others who ask.
use strict;
use warnings;
use lib 't/lib';
use Weir::Net;
use JSON::PP ();
use Test::More;
use Weir;
use Weir::Peer;

# One byte at a time, some megabytes are too many.
my $GROUPS = $Weir::CHOP ? 20 : 1000;
my $PAGE = '127.0.0.1:9090';
my $echo = Weir::Peer->echo;

sub conf
{
	my ($i) = @_;
	my $text = "upstreams = {\n";

	for my $u (1 .. $GROUPS) {
		my $list = join ', ',
		    map { sprintf '"10.%d.%d.%d:80"', $u >> 8, $u & 255, $_ }
		    1 .. 10;
		$text .= "u$u = { servers = ( $list ); };\n";
	}
	return $text . <<"EOT";
checked = { servers = "${\$echo->addr}";
    health = { interval = "50ms"; fast = "50ms"; }; };
};
listeners = {
	page = { listen = "$PAGE"; protocol = "status"; label = "$i"; };
};
EOT
}

sub ask
{
	my ($path, %o) = @_;
	my $s = Weir::dial($PAGE, %o);

	Weir::put($s, "GET $path HTTP/1." . ($o{minor} // 1) .
	    "\r\nHost: a\r\n\r\n");
	return $s;
}

# The body, undef if it is not whole.
sub body
{
	my ($s) = @_;
	my ($head, $rest) = split /\r\n\r\n/, Weir::get($s, undef), 2;
	my @parts;

	return undef unless $head =~ m{^HTTP/1.1 200 };
	for (my $at = 0; ;) {
		my $n = hex substr $rest, $at, 8;
		return undef if substr($rest, $at + 8, 2) ne "\r\n";
		push @parts, substr $rest, $at + 10, $n;
		$at += $n + 12;
		return undef if $at > length $rest;
		# The last one has one digit.
		return join '', @parts if substr($rest, $at) eq "0\r\n\r\n";
	}
}

sub checks
{
	return $_[0]->status->{upstreams}{checked}{servers}{$echo->addr}{checks};
}

my $w = Weir->start(conf => conf(0));
my ($pid) = $w->pids('control');

# ---- All of it -------------------------------------------------------------

my %seen;
my $t = Weir::now();
my $json = body(ask('/status.json'));
my $took = Weir::now() - $t;
my $st = eval { JSON::PP->new->decode($json) };
diag($@) unless $st;
is(scalar(keys %{$st->{upstreams} // {}}), $GROUPS + 1, 'JSON of all groups');
is((grep { keys %{$_->{servers}} != 10 } values %{$st->{upstreams}}), 1,
    'with all servers');
my $half = length $json;
diag(sprintf '/status.json: %d bytes in %.0f ms', length $json, 1000 * $took);
$t = Weir::now();
my $metrics = body(ask('/metrics'));
$took = Weir::now() - $t;
diag(sprintf '/metrics: %d bytes in %.0f ms', length $metrics, 1000 * $took);
my @servers = $metrics =~ /^(weir_server_\w+)\{/mg;
$seen{$_}++ for @servers;
is(join(' ', grep { $seen{$_} != $GROUPS * 10 + 1 } sort keys %seen), '',
    'each server once in each family');
cmp_ok(scalar keys %seen, '>=', 15, 'and there are many');
my $html = body(ask('/'));
is(() = $html =~ /<td class="good">up</g, $GROUPS * 10 + 1,
    'and on the page');

# ---- Those who do not read -------------------------------------------------

# There is an answer to each, of which it takes the beginning.
my $before = $w->memory($pid)->{Private};
my @slow = map { ask('/metrics', rcvbuf => 4096) } 1 .. 50;
Weir::readable($_) for @slow;
my $n = checks($w);
$t = Weir::now();
for (1 .. 5) {
	is(length(body(ask('/status.json')) // '') > $half * 0.9, 1,
	    "beside 50 who do not read: all of it ($_)");
}
$w->until('20 checks', sub { checks($w) >= $n + 20 });
my $more = $w->memory($pid)->{Private} - $before;
cmp_ok($more, '<', 50 * 256 * 1024,
    sprintf 'they cost little memory (%d KiB each)', $more / 50 / 1024);

# They hold no generation for long: there is room for 16.
for my $i (1 .. 20) {
	is(scalar $w->reload(conf($i)), '0', "reload $i while they wait");
}
SKIP: {
	# All has gone into buffers of the kernel long ago.
	skip 'answers are small', 1 if $Weir::CHOP;
	is((grep { defined body($_) } @slow), 0,
	    'what took longer than that is seen to be cut');
}
close $_ for splice @slow;

# A reload or two in between does no harm.
my $reader = ask('/metrics', rcvbuf => 4096);
Weir::get($reader, 1);
is(scalar $w->reload(conf(21)), '0', 'a reload during an answer');
is(scalar $w->reload(conf(22)), '0', 'and one more');
is(() = Weir::get($reader, undef) =~ /^weir_server_picks_total\{/mg,
    $GROUPS * 10 + 1, 'it is answered to its end');

# Without chunks, by HTTP/1.0, a reset tells that there should have been more.
SKIP: {
	skip 'answers are small', 2 if $Weir::CHOP;
	my $old = ask('/metrics', rcvbuf => 4096, minor => 0);
	Weir::get($old, 1);
	is((grep { $w->reload(conf($_)) ne '0' } 23 .. 27), 0, 'five reloads');
	Weir::get($old, undef);
	ok($!{ECONNRESET}, 'too many for one answer: it is reset');
}

# Who has begun is not answered to the end if control dies.
my $victim = ask('/metrics', rcvbuf => 4096);
Weir::get($victim, 1);
$w->signal('KILL', $pid);
is(body($victim), undef, 'control was killed: not all has come')
    unless $Weir::CHOP;
is(length(body(ask('/status.json')) // '') > $half * 0.9, 1,
    'the next one answers');
$w->stop;
done_testing();
