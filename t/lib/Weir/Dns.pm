# SPDX-License-Identifier: BSD-2-Clause
#
# Weir::Dns - a name server that says what a test wants, over UDP and TCP.
#
#	my $dns = Weir::Dns->start('app.test' => { A => ['127.0.0.1'] });
#	$dns->set('app.test' => { rcode => 3 });
#	$dns->asked('app.test', 2);          # wait for two more questions
#
# A name has A, AAAA (lists of addresses), SRV (lists of priority, weight,
# port, target), ttl, rcode, and how: "hold" keeps questions until the name
# is set anew; "wrong_id", "wrong_name", "loop", "short", "empty", "noise" and
# "lies" are answers that no server gives.
package Weir::Dns;

use strict;
use warnings;

use IO::Socket::IP ();
use JSON::PP ();
use IO::Select ();
use Socket qw(SOCK_DGRAM AF_INET AF_INET6 inet_pton);
use Weir ();
use Weir::Peer ();

our @ISA = ('Weir::Peer');
my %TYPE = (A => 1, AAAA => 28, SRV => 33);

sub start
{
	my ($class, %zone) = @_;
	my $port = delete $zone{port};
	my ($tcp, $udp);

	# A number that is free for both.
	for (1 .. 100) {
		$tcp = Weir::listener(port => $port // 0);
		$udp = IO::Socket::IP->new(LocalHost => '127.0.0.1',
		    LocalPort => $tcp->sockport, Type => SOCK_DGRAM) and last;
	}
	$udp // die "no port for a name server: $@";
	my $self = $class->spawn(sub { serve($_[0], $udp, $tcp, \%zone) },
	    addr => Weir::addr_of($tcp), port => $tcp->sockport);
	close $_ for $udp, $tcp;
	return $self;
}

sub set
{
	my ($self, @zone) = @_;

	return $self->ask('set', @zone);
}

# Wait until a name was asked for so many times more.
sub asked
{
	my ($self, $name, $n) = @_;
	my $from = $self->ask('count', $name);

	Weir::until_true("$n questions for $name",
	    sub { $self->ask('count', $name) >= $from + $n });
}

# ---- The server ------------------------------------------------------------

sub serve
{
	my ($ctl, $udp, $tcp, $zone) = @_;
	my ($json, %count, @held, %conns) = JSON::PP->new->allow_nonref;
	my $line = '';

	while (1) {
		my $set = IO::Select->new($ctl, $udp, $tcp,
		    map { $_->{fh} } values %conns);
		for my $fh ($set->can_read) {
			if ($fh == $ctl) {
				sysread $ctl, $line, 65536, length $line or
				    return;
				next unless $line =~ s/^(.*)\n//;
				my ($word, @args) = @{$json->decode($1)};
				my $r = 1;
				if ($word eq 'count') {
					$r = $count{$args[0]} // 0;
				} else {
					%$zone = (%$zone, @args);
					my @now = splice @held;
					reply($udp, $zone, \@held, @$_) for @now;
				}
				syswrite $ctl, $json->encode($r + 0) . "\n";
			} elsif ($fh == $udp) {
				my $from = $udp->recv(my $q, 65536) // next;
				$count{question($q)}++;
				reply($udp, $zone, \@held, $q, $from);
			} elsif ($fh == $tcp) {
				my $c = $tcp->accept or next;
				$conns{fileno $c} = { fh => $c, in => '' };
			} else {
				my $c = $conns{fileno $fh};
				if (!sysread $fh, $c->{in}, 65536,
				    length $c->{in}) {
					delete $conns{fileno $fh};
					next;
				}
				next if length $c->{in} < 2 ||
				    length $c->{in} < 2 + unpack 'n', $c->{in};
				$count{"tcp " . question(substr $c->{in}, 2)}++;
				my $a = response(substr($c->{in}, 2), $zone);
				syswrite $fh, pack('n/a*', $a);
				$c->{in} = '';
			}
		}
	}
}

sub question
{
	my ($q) = @_;
	my ($name, $at) = ('', 12);

	while ((my $n = ord substr $q, $at, 1) > 0) {
		$name .= '.' if length $name;
		$name .= substr $q, $at + 1, $n;
		$at += 1 + $n;
	}
	return wantarray ? (lc $name, unpack('n', substr $q, $at + 1),
	    substr $q, 12, $at + 5 - 12) : lc $name;
}

sub reply
{
	my ($udp, $zone, $held, $q, $from) = @_;
	my $how = ($zone->{question($q)} // {})->{how} // '';

	if ($how eq 'hold') {
		push @$held, [$q, $from];
		return;
	}
	my $a = response($q, $zone);
	# Too long: come again by TCP.
	$a = substr($a, 0, 2) . pack('n', unpack('n', substr $a, 2) | 0x200) .
	    pack('n4', 1, 0, 0, 0) . (question($q))[2] if length $a > 512;
	$udp->send($a, 0, $from);
}

sub wire { return join('', map { pack 'C/a*', $_ } split /\./, $_[0]) . "\0" }

sub response
{
	my ($q, $zone) = @_;
	my ($name, $type, $asked) = question($q);
	my $z = $zone->{$name} // { rcode => 3 };
	my $how = $z->{how} // '';
	my $ttl = pack 'N', $z->{ttl} // 0;
	my $id = substr $q, 0, 2;
	my @rr;

	if ($type == 1) {
		@rr = map { inet_pton(AF_INET, $_) } @{$z->{A} // []};
	} elsif ($type == 28) {
		@rr = map { inet_pton(AF_INET6, $_) } @{$z->{AAAA} // []};
	} elsif ($type == 33) {
		@rr = map { pack('n3', @$_[0 .. 2]) . wire($_->[3]) }
		    @{$z->{SRV} // []};
	}
	return '' if $how eq 'empty';
	return $id . "\x81" if $how eq 'short';
	return $id . pack('n5', 0x8180, 1, 65535, 0, 0) . $asked .
	    join '', map { chr int rand 256 } 1 .. 300 if $how eq 'noise';
	$id = pack 'n', unpack('n', $id) ^ 0x5555 if $how eq 'wrong_id';
	$asked = wire('other.test') . pack 'n2', $type, 1
	    if $how eq 'wrong_name';
	# A name that is itself, and the length of more than there is.
	my $owner = $how eq 'loop' ? pack('n', 0xc000 + 12 + length $asked) :
	    "\xc0\x0c";
	my $more = $how eq 'lies' ? 60000 : 0;
	return $id . pack('n5', 0x8180 | ($z->{rcode} // 0), 1,
	    $how eq 'lies' ? 65535 : scalar @rr, 0, 0) . $asked . join '',
	    map { $owner . pack('n2', $type, 1) . $ttl .
		pack('n', $more + length $_) . $_ } @rr;
}

1;
