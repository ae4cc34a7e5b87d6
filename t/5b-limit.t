#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# Too many clients, or too often: over all workers, by address, in a dry run,
# and after a worker was killed.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Weir;
use Weir::Peer;

my $who = Weir::Peer->greeting("hello\n");
my @limits = (
	'conns = 5;',
	'conns_per_ip = 3; except = "127.0.0.9";',
	'rate = "1/h"; burst = 6;',
	'rate_per_ip = "1/h"; burst = 1;',
	'conns_per_ip = 2; dry_run = true;',
	'conns_per_ip = 1; reply = "too many\r\n";',
	'conns_per_ip = 8;',
);
my $listeners = join '', map { "l$_ = { listen = \"fd:@{[3 + $_]}\"; " .
	"upstream = \"who\"; limit = { $limits[$_] }; };\n" } 0 .. $#limits;
my $conf = <<"EOT";
upstreams = { who = { servers = "@{[$who->addr]}"; }; };
listeners = { $listeners };
EOT
my $w = Weir->start(listen => [map { Weir::listener() } @limits],
    workers => 4, conf => $conf);

# A client with an address of its own.
sub from
{
	my ($client, $i) = @_;
	my ($port) = $w->addr($i) =~ /:(\d+)$/;

	return IO::Socket::IP->new(LocalHost => $client,
	    PeerHost => '127.0.0.1', PeerPort => $port) //
	    die "from $client: $@";
}

# n clients: those that were let in.
sub enter
{
	my ($client, $i, $n) = @_;
	my @all = map { from($client, $i) } 1 .. $n;

	return grep { (Weir::get($_, 6) // '') eq "hello\n" } @all;
}

sub count { return $w->status->{listeners}{"l$_[0]"}{$_[1]} }

# All ends have been counted.
sub nobody
{
	my ($i) = @_;

	$w->until('all to be gone', sub { count($i, 'active') == 0 });
}

my @in = enter('127.0.0.1', 0, 20);
is(scalar @in, 5, 'conns: all workers together');
is(scalar(my @none = enter('127.0.0.2', 0, 10)), 0, 'whoever they are');
is(count(0, 'limited'), 25, 'and are counted');
close $in[0];
$w->until('one to be gone', sub { count(0, 'active') == 4 });
is(scalar(my @more = enter('127.0.0.2', 0, 10)), 1, 'one place is free again');
like(($w->access(1))[0], qr/client\.accept\.limit/, 'the log says why');

@in = map { [enter("127.0.0.$_", 1, 8)] } 1, 2;
is(join(' ', map { scalar @$_ } @in), '3 3', 'conns_per_ip: each has its own');
is(scalar(@more = enter('127.0.0.9', 1, 8)), 8, 'except');
@in = @more = ();
nobody(1);
is(scalar(@more = enter('127.0.0.1', 1, 8)), 3, 'and again');

is(scalar(@more = map { enter("127.0.0.$_", 2, 3) } 1 .. 4), 7,
    'rate: the burst, and one');
@more = ();
is(scalar(@more = enter('127.0.0.1', 2, 3)), 0, 'that they leave is no help');
is(join(' ', map { scalar(@more = enter("127.0.0.$_", 3, 4)) } 1, 2), '2 2',
    'rate_per_ip');

is(scalar(@more = enter('127.0.0.1', 4, 6)), 6, 'dry_run: all are let in');
is(count(4, 'limit_dry'), 4, 'and counted');
is(count(4, 'limited'), 0, 'as such');
ok($w->logged('l4: 127\.0\.0\.1:\d+ would be .* limit\.conns_per_ip'),
    'and logged');

@in = enter('127.0.0.1', 5, 1);
my $c = from('127.0.0.1', 5);
is(Weir::get($c), "too many\r\n", 'reply');
close $c;
$w->until('its end', sub { count(5, 'active') == 1 });
ok(!grep({ $_->{limit_full} } values %{$w->status->{listeners}}),
    'no table was full');

# The sessions of a worker that is killed are gone, and their counts.
@in = enter('127.0.0.1', 6, 32);
is(scalar @in, 8, 'as many as may');
is(scalar $w->reload($conf =~ s/conns_per_ip = 8/conns_per_ip = 9/r), 0,
    'a reload forgets none');
is(scalar(@more = enter('127.0.0.1', 6, 4)), 1, 'of them');
push @in, @more;
my ($victim) = map { $_->{pid} } sort { $b->{sessions} <=> $a->{sessions} }
    grep { $_->{role} eq 'worker' } @{$w->status->{processes}};
$w->signal('KILL', $victim);
$w->until('another worker', sub {
	return 4 == $w->workers && !grep { $_ == $victim } $w->workers;
});
# A ring gives its sockets back a moment after its process is gone.
my @left;
$w->until('its counts to be gone', sub {
	@left = grep { !Weir::readable($_, 0) } @in;
	return count(6, 'active') == @left;
});
my @again = enter('127.0.0.1', 6, 32);
cmp_ok(scalar @left, '<', 9, 'it had some');
is(@left + @again, 9, 'a killed worker leaves no counts behind: ' . @left .
    ' left, ' . @again . ' new');

$w->stop(signal => 'TERM');
done_testing();
