#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# What a reload costs: time, the longest turn of a worker, memory; and that a
# great many of them cost no more than the first.
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
Weir::not_under_valgrind('it measures times and memory');
my $FEW = $Weir::SLOW ? 10000 : 500;
my $SANE = Weir::slurp($Weir::PROGRAM) !~ /__asan_init/;

sub conf
{
	my ($upstreams, $servers, $i) = @_;
	my $text = "upstreams = {\n";

	for my $u (1 .. $upstreams) {
		my $list = join ', ',
		    map { sprintf '"10.%d.%d.%d:80"', $u >> 8, $u & 255, $_ }
		    1 .. $servers;
		$text .= "u$u = { servers = ( $list ); };\n";
	}
	$text .= "e = { servers = \"${\$echo->addr}\"; };\n};\n";
	$text .= "listeners = { web = { listen = \"$WEB\"; upstream = \"e\";";
	return $text . " timeouts = { idle = \"${\(3600 + $i)}s\"; }; }; };\n";
}

# The log's own measure of the last reload, in milliseconds.
sub took
{
	my ($w) = @_;
	my @ms = $w->log =~ /is in use after (\d+) ms/g;

	return $ms[-1];
}

# Time on a CPU, in milliseconds.
sub cpu_ms
{
	my ($pid) = @_;

	return (split ' ', Weir::slurp("/proc/$pid/schedstat"))[0] / 1e6;
}

# The same of all that have ended, in seconds.
sub children_cpu
{
	my (undef, undef, $user, $system) = times;

	return $user + $system;
}

# What all processes have of memory that is no file's, each page once.
sub own
{
	my ($w) = @_;
	my $sum = 0;

	for my $p ($w->processes) {
		my $m = $w->memory($p->{pid});
		$sum += $m->{Pss_Anon} + $m->{Pss_Shmem};
	}
	return $sum;
}

# 1,000 upstreams of 10 servers.
{
	my $w = Weir->start(workers => 2, conf => conf(1000, 10, 0));
	my @workers = $w->workers;
	my (@ms, @all, @cpu, @turn);

	for my $i (1 .. 10) {
		my @before = map { cpu_ms($_) } @workers, $w->{pid};
		is(scalar $w->reload(conf(1000, 10, $i)), '0', "reload $i")
		    or last;
		push @ms, took($w);
		my @spent = map { cpu_ms($_) - shift @before }
		    @workers, $w->{pid};
		push @cpu, @spent[0, 1];
		push @all, $spent[0] + $spent[1] + $spent[2];
	}
	@turn = map { $_->{loop}{turn_max_us} / 1000 }
	    grep { $_->{role} eq 'worker' } @{$w->status->{processes}};
	@ms = sort { $a <=> $b } @ms;
	@cpu = sort { $a <=> $b } @cpu;
	@all = sort { $a <=> $b } @all;
	diag(sprintf '10,000 servers: reload in %d, %d, %d ms; a worker works ' .
	    '%.2f, %.2f, %.2f ms; its longest turn %.2f, %.2f ms',
	    @ms[0, 4, 9], @cpu[0, 9, 19], sort { $a <=> $b } @turn);
	# Others use the machine at the same time, so what counts is what it
	# takes from the CPU: the reload of all processes, and a turn of a
	# worker, which cannot take more than all of the reload's together.
	my $slow = Weir::slowness();
	cmp_ok($all[0], '<', ($SANE ? 60 : 600) * $slow, 'it is 60 ms of work');
	cmp_ok($cpu[9], '<', ($SANE ? 2 : 20) * $slow,
	    'a turn of a worker takes no 2 ms because of it');
	$w->stop;
}

# What a second worker adds, with 10,000 servers and with two.
{
	my %second;

	for my $n (1000, 1) {
		my $w = Weir->start(workers => 1, conf => conf($n, 10, 0));
		for my $i (1 .. 3) {
			is(scalar $w->reload(conf($n, 10, $i)), '0',
			    "reload $i of ${n}0 servers");
		}
		# What the master needs to say all that is measured, too.
		$w->status;
		my $one = own($w);
		is(scalar $w->reload(conf($n, 10, 3) . "workers = 2;\n"), '0',
		    'another worker');
		$w->until('it to be there', sub {
			return 2 == grep { $_->{role} eq 'worker' &&
			    $_->{phase} eq 'ready' }
			    @{$w->status->{processes}};
		});
		# As it is used.
		is(Weir::Load::harvest(Weir::Load::queue($WEB, 20)), '20 ok',
		    'they serve');
		is(scalar $w->reload, '0', 'and both reload');
		$second{$n} = own($w) - $one;
		$w->stop;
	}
	diag("a second worker adds $second{1000} bytes with 10,000 servers, ",
	    "$second{1} with ten");
	SKIP: {
		skip 'a sanitizer needs memory of its own', 1 if !$SANE;
		cmp_ok($second{1000} - $second{1}, '<', 256 << 10,
		    'not 26 bytes of it are for a server');
	}
}

# Four times as many names in one group take about four times the time.
{
	my %ms;

	for my $n (2000, 8000) {
		my ($st, $out, $err);
		my $dir = Weir::folder();
		my $text = "upstreams = {\n";
		$text .= "name$_ = { servers = \"10.0.0.1:80\"; };\n"
		    for 1 .. $n;
		$text .= "};\n";
		Weir::spew("$dir/a.conf", $text);
		# Time on a CPU, since others use the machine too; of three,
		# since it is told in ticks.
		my $t = children_cpu();
		for (1 .. 3) {
			($st, $out, $err) = Weir::run('-t', '-c', "$dir/a.conf");
			is($st, 0, "$n names") or diag($err);
		}
		$ms{$n} = (children_cpu() - $t) * 1000 / 3;
	}
	diag(sprintf '2,000 names: %.1f ms; 8,000 names: %.1f ms',
	    @ms{2000, 8000});
	cmp_ok($ms{8000}, '<', 8 * $ms{2000} + 20, 'names are not quadratic');
}

# Many reloads run out of nothing.
{
	my $w = Weir->start(workers => 2, conf => conf(10, 3, 0));
	my $held = Weir::dial($WEB);
	my (%before, %after, $bad);

	Weir::chat($held, "a\n", qr/\n/);
	$bad = 0;
	for my $i (1 .. $FEW) {
		$w->conf(conf(10, 3, $i % 2)) if $i % 50 == 0;
		$bad++ if $w->reload ne '0';
		next unless $i == 100 || $i == $FEW;
		my $at = $i == 100 ? \%before : \%after;
		for my $p ($w->processes) {
			my $who = $p->{title} =~ s/weir: //r;
			$at->{"descriptors of $who"} = $w->fds($p->{pid});
			$at->{"memory of $who"} =
			    $w->memory($p->{pid})->{Anonymous} >> 18;
		}
	}
	is($bad, 0, "$FEW reloads are done");
	is(Weir::chat($held, "b\n", qr/\n/), "b\n", 'a session goes on');
	for my $what (sort keys %before) {
		next if !$SANE && $what =~ /memory/;
		my $slack = $what =~ /memory/ ? 1 : 2;
		cmp_ok($after{$what}, '<=', $before{$what} + $slack,
		    "$what: $before{$what}, then $after{$what}");
	}
	is(Weir::Load::harvest(Weir::Load::queue($WEB, 20)), '20 ok',
	    'and it serves');
	close $held;
	$w->stop;
}
done_testing;
