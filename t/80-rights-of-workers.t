#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# A master that is not root may have been given the right to open low ports;
# its children, who never do, have none.  And what root does to the file of a
# unix socket it does not do to what a link there leads to.
use strict;
use warnings;
use lib 't/lib';
use Weir::Net;
use Test::More;
use Weir;

sub conf
{
	my (%o) = @_;
	my $listen = join ', ', map { qq("$_") } @{$o{listen}};
	my $mode = defined $o{mode} ? qq(mode = "$o{mode}";) : '';

	return <<"EOT";
listeners = { web = { listen = [ $listen ]; $mode return = 200;
}; };
EOT
}

sub rights
{
	my ($pid) = @_;

	return join ' ', Weir::slurp("/proc/$pid/status") =~
	    /^Cap(?:Inh|Prm|Eff|Amb):\s*(\w+)/mg;
}

SKIP: {
	my $low = 'net_bind_service';
	my $as = "setpriv --reuid=65534 --regid=65534 --clear-groups " .
	    "--inh-caps=-all,+$low --ambient-caps=-all,+$low";

	skip 'no setpriv', 4 if system("$as true 2>/dev/null") != 0;
	my $w = Weir->start(workers => 1, wrap => ['sh', '-c',
	    qq(chown -R 65534 "\$(dirname "\$3")" && exec $as "\$@"), 'sh'],
	    conf => conf(listen => ['127.0.0.1:81']));
	my $none = join ' ', ('0' x 16) x 4;
	isnt(rights($w->master), $none, 'the master has a right');
	is(rights($_), $none, 'others have none')
	    for $w->workers, $w->pids('control');
	$w->stop;
}

{
	my $dir = Weir::folder();
	my $sock = "$dir/sock";
	my $w = Weir->start(workers => 1, conf => conf(listen =>
	    ["unix:$sock"], mode => '0660'));

	is(scalar $w->reload(conf(listen => ["unix:$sock"], mode => '0600')),
	    '0', 'the mode changes');
	is((stat $sock)[2] & 0777, 0600, 'in the file system too');
	Weir::spew("$dir/secret", 'x');
	chmod 0400, "$dir/secret";
	rename $sock, "$dir/aside";
	symlink "$dir/secret", $sock;
	is(scalar $w->reload(conf(listen => ["unix:$sock"], mode => '0666')),
	    '0', 'the mode changes, and a link stands there');
	is((stat "$dir/secret")[2] & 0777, 0400, 'where it leads is untouched');
	ok($w->logged(qr/cannot set the mode of/), 'the log says so');
	$w->stop;
}
done_testing;
