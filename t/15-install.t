#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# make install puts everything where the GNU variables say; an edited
# configuration stays.
use strict;
use warnings;
use lib 't/lib';
use File::Find ();
use Test::More;
use Weir;

my $build = $ENV{WEIR_BUILD};
plan skip_all => 'no build folder: $WEIR_BUILD is not set'
    unless defined $build && -f "$build/Makefile";
my $dir = Weir::folder();

sub make
{
	my ($target) = @_;

	local $ENV{MAKEFLAGS} = '';
	my $out = `make -s -C '$build' $target DESTDIR='$dir' prefix=/usr \\
	    sysconfdir=/etc mandir=/usr/share/man datadir=/usr/share 2>&1`;
	is($?, 0, "make $target") or diag($out);
}

sub files
{
	my @all;

	File::Find::find({ no_chdir => 1, wanted => sub {
		push @all, $_ =~ s/^\Q$dir\E//r if -f;
	} }, "$dir");
	return join "\n", sort @all;
}

make('install');
my $files = files();
like($files, $_, "$_ is installed") for
    qr{^/usr/s?bin/weir$}m, qr{^/etc/weir/weir\.conf$}m,
    qr{^/usr/share/weir/html/index\.html$}m,
    qr{^/usr/share/man/man8/weir\.8$}m,
    qr{^/usr/share/man/man5/weir\.conf\.5$}m;
Weir::spew("$dir/etc/weir/weir.conf", "# mine\n");
make('install');
is(Weir::slurp("$dir/etc/weir/weir.conf"), "# mine\n",
    'an edited configuration stays');
make('uninstall');
is(join(' ', grep { !m{^/etc/} } split /\n/, files()), '',
    'make uninstall leaves the configuration only');
done_testing();
