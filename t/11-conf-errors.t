#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# What is wrong is told: each t/broken/NAME.conf gets exactly the messages in
# NAME.err, all in one run, and exit status 1.
use strict;
use warnings;
use lib 't/lib';
use POSIX ();
use Test::More;
use Weir;

my $dir = Weir::folder();

delete $ENV{$_} for grep { /^WEIR_NOT/ } keys %ENV;
Weir::broken($dir);
chdir $dir or die "$dir: $!";

sub slurp
{
	my ($path) = @_;

	open my $in, '<', $path or return undef;
	local $/;
	return <$in> // '';
}

my @files = glob '*.conf';
cmp_ok(scalar @files, '>=', 70, 'there are many ways to be wrong');
for my $file (@files) {
	(my $err = $file) =~ s/conf$/err/;
	my $status = system "'$Weir::PROGRAM' -t -c $file >out 2>said";

	is(slurp('said'), slurp($err), "$file is explained");
	is($status, 256, "$file is refused");
	is(slurp('out'), '', "$file says nothing else");
}

# No include waits for a writer, none is followed for ever: the alarm of the
# test has not gone off.  A file that cannot be read is an error of its own.
chmod 0, 'folder/good.inc';
chmod 0755, 'folder';
pipe my $from, my $to or die "pipe: $!";
my $pid = fork // die "fork: $!";
if ($pid == 0) {
	# Root reads everything.
	POSIX::setgid(65534), POSIX::setuid(65534) if $> == 0;
	open STDOUT, '>&', $to;
	open STDERR, '>&', $to;
	exec $Weir::PROGRAM, qw(-t -c include-one-of-many.conf);
	die "exec: $!";
}
close $to;
my $unread = join '', <$from>;
waitpid $pid, 0;
SKIP: {
	skip 'nobody may not run the program', 1 if $unread =~ /^exec: /;
	like($unread, qr/"folder\/good\.inc": Permission denied$/m,
	    'an unreadable file');
}
like(qx('$Weir::PROGRAM' -t -c no-such.conf 2>&1),
    qr/^no-such\.conf: there is no such file$/m, 'a missing file');

# More errors than anybody reads are counted.
open my $many, '>', 'many-more' or die $!;
print $many "upstreams = {\n", (map { "  u$_ = { servers = 5; };\n" } 1 .. 300),
    "};\n";
close $many;
my @said = split /\n/, qx('$Weir::PROGRAM' -t -c many-more 2>&1);
is(scalar @said, 201, '200 are told');
is($said[-1], 'and 100 more errors', 'the others are counted');
chdir '/';
done_testing();
