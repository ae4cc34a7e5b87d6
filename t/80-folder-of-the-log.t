#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# A folder that the workers' user may write is refused for logs, also if the
# user is not written, owns the folder, or is in its group by the way.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Weir;

plan(skip_all => 'only root has workers of another user') if $> != 0;

# The user of workers when none is written.
my ($name) = grep { defined getpwnam $_ } 'weir', 'nobody';
my ($uid, $gid) = (getpwnam $name)[2, 3];

# The status and what it said.  The group of the folder, its owner, its mode.
sub refused
{
	my ($user, $owner, $group, $mode) = @_;
	my $dir = Weir::folder();
	my $logs = "$dir/logs";

	mkdir $logs or die "mkdir: $!";
	chown $owner, $group, $logs;
	chmod $mode, $logs;
	# Where it does not end there, it ends here.
	Weir::spew("$dir/weir.conf", <<"EOT");
$user
pid = "$dir/weir.pid";
error_log = "$logs/error.log";
access_log = "$dir/none/access.log";
listeners = { web = { listen = "unix:$dir/sock"; return = 200; }; };
EOT
	my ($st, $out, $err) = Weir::run('-c', "$dir/weir.conf");
	return $st eq '1' && $err =~ /may be written by the user "$name"/ ? 1 :
	    $err =~ /access_log = .*No such file/ ? 0 : "$st $out$err";
}

is(refused('', $uid, 0, 0755), 1, 'a folder of the default user');
is(refused(qq(user = "$name";), $uid, 0, 0755), 1, 'of a written one');
is(refused('', $uid, 0, 0555), 1, 'who may change the mode');
is(refused('', $uid, 0, 01777), 1, 'and replace files if it is sticky');
is(refused('', 0, $gid, 0775), 1, 'of the group');
is(refused('', 0, 0, 0757), 1, 'of all');
is(refused('', 0, $gid, 0755), 0, 'nobody else may write');
is(refused('', 0, 0, 0775), 0, 'or only others');
is(refused('', 0, 0, 01777), 0, 'in a sticky one nobody replaces files');
done_testing;
