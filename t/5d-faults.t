#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# Servers that die, stop, refuse, reset and fall silent while short
# connections come all the time: once weir has found out, no client sees an
# error that another server could have avoided.
use strict;
use warnings;
use lib 't/lib';
use Weir::Net;
use POSIX ();
use Test::More;
use Time::HiRes ();
use Weir;
use Weir::Load;
use Weir::Peer;

my $RATE = 300;
# So many sessions another server has had while one is at fault.
my $LONG = $Weir::SLOW ? 1000 : 60;
my $STOPPED = $Weir::SLOW ? 1500 : 150;   # 10 s of a half of 300 a second
my $NFT = Weir::Net::can_nft();
my @NAMES = qw(s1 s2 s3);
my %KIND = (a => 'script', b => 'http');

# An echo that passes both checks, unless its mode says what is wrong.
sub server
{
	my ($i) = @_;

	return Weir::Peer->server({
		accept => sub {
			my ($p, $c) = @_;
			$p->drop($c, 1) if ($p->{mode} // '') eq 'reset';
		},
		data => sub {
			my ($p, $c, $bytes) = @_;
			return if ($p->{mode} // '') eq 'mute';
			return $p->put($c, $bytes) if $c->{got} !~ /^GET/;
			return if $c->{got} !~ /\r\n\r\n/;
			$p->put($c, "HTTP/1.1 204 well\r\n\r\n");
			$p->end($c);
		},
		eof => sub { $_[0]->end($_[1]) },
	}, port => 5001 + $i);
}

my %peer = map { $NAMES[$_] => server($_) } 0 .. $#NAMES;
# In this time, in ms, one that is well always answers, as far as the machine
# lets it: what an answer takes without weir, several times.
my $MS = 300;
{
	my $load = Weir::Load->start(["$peer{s1}{addr}", "$peer{s2}{addr}"],
	    rate => $RATE, keep => 1);

	$peer{s1}->await(accepted => 150);
	$load->end;
	for (@{$load->{kept}}) {
		my $ms = int 20_000 * ($_->[1] - $_->[0]);
		$MS = $ms if $ms > $MS;
	}
	$MS = 3000 if $MS > 3000;
}
my $CHECK_MS = int $MS * 2 / 3;
# Two tries, and some.
$Weir::Load::LIMIT = 5 + 3 * $MS / 1000;
my $servers = join ', ', map { qq({ name = "$NAMES[$_]"; address =
    "127.0.0.1:@{[5001 + $_]}"; }) } 0 .. $#NAMES;
my $common = <<"EOT";
	timeouts = { first_byte = "${MS}ms"; connect = "${MS}ms"; };
	eject = { failures = 5; window = "10s"; for = "60s"; };
EOT
my $w = Weir->start(workers => 4, conf => <<"EOT");
access_log = { skip = "client.relay.eof"; };
upstreams = {
a = { servers = ( $servers ); $common
	health = { type = "script"; interval = "300ms"; fast = "100ms";
	    timeout = "${CHECK_MS}ms"; fall = 2; rise = 2;
	    steps = ( { send = "PING\\r\\n"; expect = "^PING"; } ); }; };
b = { servers = ( $servers ); $common
	health = { type = "http"; interval = "300ms"; fast = "100ms";
	    timeout = "${CHECK_MS}ms"; fall = 2; rise = 2; uri = "/"; }; };
};
listeners = {
	a = { listen = "127.0.0.1:6001"; upstream = "a"; };
	b = { listen = "127.0.0.1:6002"; upstream = "b"; };
};
EOT
for my $s (@NAMES) {
	$w->logged(qr/server $s of upstream $_ is up/) for qw(a b);
}
my $load = Weir::Load->start(['127.0.0.1:6001', '127.0.0.1:6002'],
    rate => $RATE, most => 150, keep => 1);

# ---- The phases ------------------------------------------------------------

# Until another server has had so many sessions more.
sub go_on
{
	my ($s, $n) = @_;

	$peer{$s}->await(accepted => $peer{$s}->await(accepted => 0) + $n);
}

# By upstream: when the log had such a line since the mark.
sub told
{
	my ($what) = @_;

	return { map {
		$_ => Weir::time_of($w->logged(qr/of upstream $_ $what/))
	} qw(a b) };
}

sub weir_cpu { return $w->cpu(map { $_->{pid} } $w->processes) }

my @phases;
# Break one server, see that it is found out, go on for a while, mend it.
sub phase
{
	my ($name, $bad, $other, $n, $break, $mend) = @_;
	my %p = (name => $name, from => Time::HiRes::time());

	$w->mark;
	$p{cpu} = weir_cpu();
	$break->($peer{$bad});
	$p{found} = told(qr/is (?:down|ejected)/);
	go_on($other, $n);
	# A server whose check failed has to pass it.
	$p{down} = told(qr/is down/);
	$w->mark;
	$p{mended} = Time::HiRes::time();
	$mend->($peer{$bad});
	$p{up} = told(qr/is up/);
	# If it was ejected, the first session that tries it ends that.
	$w->until("$bad to be used again", sub {
		my $of = $w->status->{upstreams};
		return !grep { $of->{$_}{servers}{$bad}{ejected} ne 'no' }
		    qw(a b);
	});
	$p{used} = Time::HiRes::time();
	go_on($bad, 20);
	$p{till} = Time::HiRes::time();
	$p{cpu} = (weir_cpu() - $p{cpu}) / ($p{till} - $p{from});
	push @phases, \%p;
}

my $begun = Time::HiRes::time();
go_on('s1', 50);
phase('killed (kill -9)', 's1', 's2', $LONG,
    sub { kill 'KILL', $_[0]{pid}; $_[0]->stop },
    sub { $peer{s1} = server(0) });
phase('stopped (SIGSTOP)', 's2', 's3', $STOPPED,
    sub { kill 'STOP', $_[0]{pid} }, sub { kill 'CONT', $_[0]{pid} });
# Who closes a socket resets those who have just come to it, which is another
# fault; a rule refuses only.
phase('refuses', 's3', 's1', $LONG, sub {
	return $_[0]->ask('refuse') unless $NFT;
	Weir::Net::rules('tcp dport 5003 tcp flags & (syn | ack) == syn ' .
	    'reject with tcp reset');
}, sub { $NFT ? Weir::Net::rules() : $_[0]->ask('listen') });
phase('resets after accept', 's1', 's2', $LONG,
    sub { $_[0]->ask('mode', 'reset') }, sub { $_[0]->ask('mode', '') });
phase('accepts, never answers', 's2', 's3', $LONG,
    sub { $_[0]->ask('mode', 'mute') }, sub { $_[0]->ask('mode', '') });
# To a client that is a connect without an answer: it is tried elsewhere.
phase('vanishes (packets are lost)', 's3', 's1', $LONG,
    sub { Weir::Net::rules('tcp dport 5003 drop', 'tcp sport 5003 drop') },
    sub { Weir::Net::rules() }) if $NFT;
my ($text) = $load->end;
my $ended = Time::HiRes::time();

# ---- What clients saw ------------------------------------------------------

# Those that began in that time.
sub seen
{
	my ($u, $from, $till) = @_;

	return grep { $_->[0] >= $from && $_->[0] < $till &&
	    $_->[3] == ($u eq 'b') } @{$load->{kept}};
}

sub failed { return grep { $_->[2] ne 'ok' } @_ }

# A line of the table, as contrib/bench/RESULTS.md has it.
sub row { return '| ' . join(' | ', @_) . ' |' }

my @table = (row('what the server does', 'check', 'connections',
    'errors before detection', 'errors after', 'found after',
    'up after', 'used after', 'CPU of weir'), row(('---') x 9));
my (%out, $fewest);
for my $p (@phases) {
	for my $u (qw(a b)) {
		# Lines have milliseconds.
		my $found = $p->{found}{$u} + 0.001;
		my @all = seen($u, $p->{from}, $p->{till});
		# Some were under way when it began.
		my @before = grep { $_->[1] >= $p->{from} }
		    failed(seen($u, 0, $found));
		my @after = failed(seen($u, $found, $p->{till}));

		# One may outlast the phase that it began in.
		$out{$_->[4]} = 1 for @before, @after;
		$fewest = @all if !defined $fewest || $fewest > @all;
		is(scalar(@after), 0, "$p->{name}, $KIND{$u}: no error once " .
		    'it was found out') or diag(map { sprintf "%s after " .
		    "%.3f s, begun %.3f after\n", $_->[2], $_->[1] - $_->[0],
		    $_->[0] - $found } @after[0 .. ($#after > 9 ? 9 :
		    $#after)]);
		is(scalar(@before), 0, 'and none before: those refused were ' .
		    'tried elsewhere') if $p->{name} eq 'refuses' && $NFT;
		push @table, row($p->{name}, $KIND{$u}, scalar @all,
		    scalar @before, scalar @after, sprintf('%.0f ms',
		    1000 * ($p->{found}{$u} - $p->{from})), sprintf('%.0f ms',
		    1000 * ($p->{up}{$u} - $p->{mended})), sprintf('%.0f ms',
		    1000 * ($p->{used} - $p->{mended})),
		    sprintf('%.1f %%', 100 * $p->{cpu}));
	}
}
my $n = @{$load->{kept}};
my @lost = failed(@{$load->{kept}});
is(scalar(@lost), scalar(keys %out), "and none at other times: $text") or diag(map {
	my $x = $_;
	sprintf "%s, begun %s\n", $x->[2], join ' ', map {
	    sprintf '%.3f/%.3f', $x->[0] - $_->{from}, $x->[1] - $_->{from}
	} @phases } @lost);
cmp_ok($fewest, '>=', $LONG, sprintf
    'the load was %.0f a second, in each phase', $n / ($ended - $begun));
my $st = $w->status;
my $retries = $st->{upstreams}{a}{retries} + $st->{upstreams}{b}{retries};
cmp_ok($retries, '>', 0, "$retries sessions were tried elsewhere");
my ($backend) = map { $_->{backend} } grep { $_->{role} eq 'worker' }
    @{$st->{processes}};
diag("$backend, $n connections in " . sprintf('%.1f s', $ended - $begun) .
    ":\n" . join("\n", @table));
$w->stop;
done_testing();
