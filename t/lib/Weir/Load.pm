# SPDX-License-Identifier: BSD-2-Clause
#
# Weir::Load - clients that count what they lose.
#
#	my $q = Weir::Load::queue($addr, 100);       # connected, nobody accepts
#	...
#	is(Weir::Load::harvest($q), '100 ok');
#
#	my $load = Weir::Load->start($addr, rate => 200, idle => 100, busy => 5);
#	...
#	is($load->end, '...');                       # waits for what is open
#
# Every client says a line of its own and wants it back (an echo server is
# behind weir).  What can become of one: ok, refused, reset, eof (the end
# before the answer), timeout, wrong.  With `keep`, $load->{kept} has each
# short one after the end: when it began and ended (on the clock of the day),
# what became of it, which of the addresses it went to, and its number.
package Weir::Load;

use strict;
use warnings;

use Errno qw(EINPROGRESS EAGAIN EINTR ECONNREFUSED);
use Socket qw(AF_INET AF_UNIX SOCK_STREAM SOL_SOCKET SO_ERROR
    pack_sockaddr_in pack_sockaddr_un inet_aton);
use Fcntl qw(F_GETFL F_SETFL O_NONBLOCK);
use Weir ();
use Weir::Peer ();

# How long a client waits for its answer.
our $LIMIT = 5;

# A non-blocking connection on its way; undef and $! if refused at once.
sub dial
{
	my ($to) = @_;
	my ($s, $sa);

	if ($to =~ /^unix:(.*)/) {
		socket $s, AF_UNIX, SOCK_STREAM, 0 or die "socket: $!";
		$sa = pack_sockaddr_un($1);
	} else {
		my ($host, $port) = $to =~ /^(.*):(\d+)$/;
		socket $s, AF_INET, SOCK_STREAM, 0 or die "socket: $!";
		$sa = pack_sockaddr_in($port, inet_aton($host));
	}
	fcntl $s, F_SETFL, O_NONBLOCK;
	return $s if connect $s, $sa;
	return $s if $! == EINPROGRESS;
	return undef;
}

# So many connections that have said what they want.
sub queue
{
	my ($to, $n) = @_;
	my @all;

	for my $i (1 .. $n) {
		my $s = Weir::dial($to, timeout => 5);
		my $say = "queued $i\n";
		Weir::put($s, $say);
		push @all, [$s, $say];
	}
	return \@all;
}

# What became of one, after its answer had time until $end.
sub outcome
{
	my ($s, $want, $end) = @_;
	my $got = '';

	while (length $got < length $want) {
		my $left = $end - Weir::now();
		return 'timeout' if !Weir::readable($s, $left > 0 ? $left : 0);
		my $n = sysread $s, $got, length($want) - length $got,
		    length $got;
		return $!{ECONNREFUSED} ? 'refused' : 'reset' if !defined $n;
		return 'eof' if $n == 0;
	}
	return $got eq $want ? 'ok' : 'wrong';
}

sub counts
{
	my ($n) = @_;

	return join ', ', map { "$n->{$_} $_" } sort { $b eq 'ok' ? 1 :
	    $a eq 'ok' ? -1 : $a cmp $b } keys %$n;
}

# Read all answers and close: "100 ok", "98 ok, 2 reset".
sub harvest
{
	my ($queue, $seconds) = @_;
	my $end = Weir::now() + ($seconds // $LIMIT);
	my %n;

	for my $client (splice @$queue) {
		$n{outcome(@$client, $end)}++;
		close $client->[0];
	}
	return counts(\%n);
}

# ---- Load ------------------------------------------------------------------

# rate: new connections a second; most: but no more than so many at a time, as
# on a busy machine they would only pile up; idle: connections that say nothing between
# the first line and the end; busy: connections that say a line every 100 ms.
# $to may be a list of addresses, which get them in turn.
sub start
{
	my ($class, $to, %o) = @_;
	my $job = Weir::Peer->job(sub {
		my $l = bless { to => ref $to ? $to : [$to], rate => 100,
			idle => 0, busy => 0, %o, n => {}, open => {},
			rd => '', wr => '', kept => [], serial => 0,
			swept => 0,
			ctl => $_[0] }, 'Weir::Load::Loop';
		$l->run;
		return { n => $l->{n}, why => $l->{why}, kept => $l->{kept} };
	});

	my $self = bless { job => $job }, $class;
	$job->answer;    # all that stay are there
	return $self;
}

# No new ones; wait for those under way.  The counts as text, and as numbers.
sub end
{
	my ($self) = @_;

	$self->{job}->go;
	my $r = $self->{job}->result;
	$self->{why} = $r->{why} // [];
	$self->{kept} = $r->{kept};
	return wantarray ? (counts($r->{n}), $r->{n}) : counts($r->{n});
}

package Weir::Load::Loop;

use strict;
use warnings;

sub run
{
	my ($l) = @_;
	my $begin = Weir::now();

	vec($l->{rd}, fileno $l->{ctl}, 1) = 1;
	$l->open('idle') for 1 .. $l->{idle};
	$l->open('busy') for 1 .. $l->{busy};
	$l->turn until !grep { !$_->{greeted} } values %{$l->{open}};
	Weir::Peer::reached($l->{ctl}, 'up');
	my $next = Weir::now();
	while (!$l->{ending}) {
		while ($l->{rate} && Weir::now() >= $next) {
			$next += 1 / $l->{rate};
			$l->open('short') if !$l->{most} ||
			    keys %{$l->{open}} < $l->{most};
		}
		$l->turn;
	}
	# Those that stay were only there to be hurt; who says nothing may have
	# been forgotten without a word.
	$l->say($_) for grep { $_->{kind} eq 'idle' } values %{$l->{open}};
	$l->sweep;
	$l->turn while $l->{left};
	$l->{n}{$_->{kind} eq 'idle' ? 'ok idle' : 'ok busy'}++
	    for values %{$l->{open}};
}

sub open
{
	my ($l, $kind) = @_;
	my $serial = ++$l->{serial};
	my $c = { kind => $kind, got => '', want => "$kind $serial\n",
		begun => Weir::now(), at => Time::HiRes::time(),
		to => $serial % @{$l->{to}}, serial => $serial };

	$c->{s} = Weir::Load::dial($l->{to}[$c->{to}]) // return $l->count($c,
	    $!{EAGAIN} ? 'full' : 'refused');
	$c->{fd} = fileno $c->{s};
	$l->{open}{$c->{fd}} = $c;
	vec($l->{wr}, $c->{fd}, 1) = 1;
}

sub count
{
	my ($l, $c, $what) = @_;
	my $now = Time::HiRes::time();

	push @{$l->{kept}}, [$c->{at}, $now, $what, $c->{to}, $c->{serial}]
	    if $l->{keep} && $c->{kind} eq 'short';
	$what .= " $c->{kind}" if $c->{kind} ne 'short';
	$l->{n}{$what}++;
	push @{$l->{why}}, sprintf "%s after %.3f s at %.3f", $what,
	    Weir::now() - $c->{begun}, $now
	    if $what ne 'ok' && @{$l->{why} // []} < 20;
}

sub drop
{
	my ($l, $c, $what) = @_;

	$l->count($c, $what);
	vec($l->{$_}, $c->{fd}, 1) = 0 for qw(rd wr);
	delete $l->{open}{$c->{fd}};
	close $c->{s};
}

sub say
{
	my ($l, $c) = @_;

	vec($l->{wr}, $c->{fd}, 1) = 0;
	vec($l->{rd}, $c->{fd}, 1) = 1;
	$c->{got} = '';
	$c->{begun} = Weir::now();
	syswrite($c->{s}, $c->{want}) // $l->drop($c,
	    $!{ECONNREFUSED} ? 'refused' : 'reset');
}

sub hear
{
	my ($l, $c) = @_;
	my $n = sysread $c->{s}, $c->{got}, 4096, length $c->{got};

	if (!defined $n) {
		return if $!{EAGAIN} || $!{EINTR};
		return $l->drop($c, $!{ECONNREFUSED} ? 'refused' : 'reset');
	}
	return $l->drop($c, 'eof') if $n == 0;
	return if length $c->{got} < length $c->{want};
	return $l->drop($c, 'wrong') if $c->{got} ne $c->{want};
	return $l->drop($c, 'ok') if $c->{kind} eq 'short';
	$c->{greeted} = 1;
	$c->{again} = Weir::now() + 0.1 if $c->{kind} eq 'busy';
}

sub turn
{
	my ($l) = @_;
	my ($r, $w) = ($l->{rd}, $l->{wr});

	select $r, $w, undef, 0.005;
	$l->{ending} = 1 if !$l->{ending} && vec $r, fileno $l->{ctl}, 1;
	vec($l->{rd}, fileno $l->{ctl}, 1) = 0 if $l->{ending};
	for my $c ($l->ready($w)) {
		$l->say($c);
		vec($r, $c->{fd}, 1) = 0;
	}
	$l->hear($_) for $l->ready($r);
	$l->sweep if Weir::now() >= $l->{swept} + 0.02;
}

# The connections whose bits are set.
sub ready
{
	my ($l, $bits) = @_;
	my $s = unpack 'b*', $bits;
	my ($at, @c) = (-1);

	while (($at = index $s, '1', $at + 1) >= 0) {
		push @c, $l->{open}{$at} if $l->{open}{$at};
	}
	return @c;
}

# What is due: more to say, and answers that do not come.  How many are left
# to be waited for.
sub sweep
{
	my ($l) = @_;
	my $now = $l->{swept} = Weir::now();

	for my $c (values %{$l->{open}}) {
		if ($c->{again} && $c->{again} <= $now && !$l->{ending}) {
			delete $c->{again};
			$l->say($c);
		} elsif ($c->{got} ne $c->{want} &&
		    $now > $c->{begun} + $Weir::Load::LIMIT) {
			$l->drop($c, 'timeout');
		}
	}
	$l->{left} = grep { $_->{kind} eq 'short' ||
	    $_->{got} ne $_->{want} } values %{$l->{open}};
}

1;
