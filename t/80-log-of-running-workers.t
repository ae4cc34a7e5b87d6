#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# Where and how the error log is written changes in workers that run: they
# once kept the format, and the old file when syslog was to take over.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Weir;
use Weir::Peer;

my $echo = Weir::Peer->echo;
my $dir = Weir::folder();
my $log = "$dir/one";
my $n = 0;

# Each time with another server, as one is mentioned once a second.
sub conf
{
	my (%o) = @_;
	my $all = join "\n    ", map {
	    qq(gone$_ = { servers = "unix:$dir/none$_"; };) } 0 .. ++$n;

	return <<"EOT";
error_log = { to = "$o{to}"; format = "$o{format}"; };
upstreams = { e = { servers = "@{[$echo->addr]}"; retry = { tries = 1; }; };
    $all };
listeners = { web = { listen = "fd:3"; upstream = "e"; };
    bad = { listen = "fd:4"; upstream = "gone$n"; }; };
EOT
}

# A worker has something to say.
sub complain
{
	my ($w, $pattern) = @_;

	is(Weir::get($w->connect(1)), '', 'a client is turned away');
	Weir::until_true("a line like $pattern", sub {
		Weir::slurp($log) =~ $pattern });
	pass("the log has $pattern");
}

my $w = Weir->start(listen => [Weir::listener(), Weir::listener()],
    workers => 1, conf => conf(to => $log, format => 'text'));
my ($worker) = $w->workers;

complain($w, qr/ warn worker 0\[$worker\]: server /);
is(scalar $w->reload(conf(to => $log, format => 'json')), '0', 'json');
complain($w, qr/"process":"worker 0","pid":$worker,"text":"server /);
$log = "$dir/two";
is(scalar $w->reload(conf(to => $log, format => 'text')), '0', 'a new file');
complain($w, qr/ warn worker 0\[$worker\]: server /);
is(scalar $w->reload(conf(to => 'syslog', format => 'text')), '0', 'syslog');
$w->until('the files to be closed', sub {
	return !grep { (readlink($_) // '') =~ m{^\Q$dir\E/(one|two)$} }
	    glob "/proc/$worker/fd/*";
});
is_deeply([$w->workers], [$worker], 'the same worker all the time');
$w->stop;
done_testing;
