# SPDX-License-Identifier: BSD-2-Clause
#
# Weir::Peer - servers and clients around the program, each a process of its
# own that ends with the test, however the test ends.
#
#	my $echo = Weir::Peer->echo;         # $echo->addr is "127.0.0.1:port"
#	$echo->await(accepted => 3);         # wait until it has accepted 3
#	my $job = Weir::Peer->job(sub { ...; return { sent => 1 } });
#	is($job->result->{sent}, 1);
#
# Servers: echo, sink (counts), digest (counts, and at the end answers with
# "bytes md5"), source (a stream of known bytes, then the end), greeting
# (speaks first), talker (speaks, ends, goes on reading), slow (reads only
# when told), mute (reads, never answers), resets, closes, refuses (nobody
# listens), full (nobody accepts).  All take host => , port => ,
# unix => path, rcvbuf => , sndbuf => bytes.
#
# A server remembers per connection what it got.  ask('stats') gives
# accepted, open, open_max, bytes, eofs, resets, and got and md5: lists in order
# of acceptance.
package Weir::Peer;

use strict;
use warnings;

use Carp qw(croak);
use Digest::MD5 ();
use IO::Socket::IP ();
use IO::Socket::UNIX ();
use JSON::PP ();
use POSIX ();
use Socket qw(AF_UNIX SOCK_STREAM PF_UNSPEC SOL_SOCKET SO_RCVBUF SO_SNDBUF SO_LINGER
    SOMAXCONN);
use Weir ();

my %CONTROL;  # our ends of all control channels, to be closed in children
my $JSON = JSON::PP->new->canonical;
my $BLOCK = 65536;

# ---- A stream of known bytes -----------------------------------------------

my $noise;

# Block i: its number, then noise.  A lost, doubled or exchanged block shows.
sub block
{
	my ($i) = @_;

	$noise //= join '', map { Digest::MD5::md5($_) } 1 .. $BLOCK / 16;
	return pack('N2', $i, ~$i & 0xffffffff) . substr $noise, 8;
}

sub stream
{
	my ($bytes) = @_;
	my $s = join '', map { block($_) } 0 .. ($bytes - 1) / $BLOCK;

	return substr $s, 0, $bytes;
}

sub stream_md5
{
	my ($bytes) = @_;
	my $md5 = Digest::MD5->new;

	for (my $i = 0; $bytes > 0; $i++, $bytes -= $BLOCK) {
		$md5->add($bytes < $BLOCK ? substr block($i), 0, $bytes :
		    block($i));
	}
	return $md5->hexdigest;
}

# ---- Processes -------------------------------------------------------------

# Fork a child that runs the code with its end of a channel, and ends.
sub spawn
{
	my ($class, $code, %self) = @_;
	my ($our, $its);

	socketpair $our, $its, AF_UNIX, SOCK_STREAM, PF_UNSPEC or
	    croak "socketpair: $!";
	my $pid = fork // croak "fork: $!";
	if ($pid == 0) {
		close $_ for $our, values %CONTROL;
		$SIG{$_} = 'DEFAULT' for qw(ALRM TERM INT HUP);
		my $good = eval { $code->($its); 1 };
		print STDERR "peer: $@" unless $good;
		POSIX::_exit($good ? 0 : 1);
	}
	close $its;
	$CONTROL{$pid} = $our;
	return bless { %self, pid => $pid, ctl => $our }, $class;
}

# Run the code in a process of its own; it returns something JSON can say.
sub job
{
	my ($class, $code) = @_;

	return $class->spawn(sub {
		my ($ctl) = @_;
		my $r = eval { $code->($ctl) };
		$r = { died => "$@" } if $@;
		syswrite $ctl, $JSON->encode($r // {}) . "\n";
	});
}

# Wait for a job's end.
sub result
{
	my ($self) = @_;
	my $r = $self->answer;

	$self->stop;
	croak "job: $r->{died}" if ref $r eq 'HASH' && defined $r->{died};
	return $r;
}

# A job tells that it has come so far; who started it waits for that.
sub reached { my ($ctl, $what) = @_; syswrite $ctl, "\"$what\"\n" }
# And waits until it may go on.
sub wait_go { my ($ctl, $line) = @_; return sysread $ctl, $line, 100 }
sub go { my ($self) = @_; syswrite $self->{ctl}, "go\n" }

sub answer
{
	my ($self) = @_;
	my $line = $self->{rest} // '';

	while ($line !~ /\n/) {
		croak "peer $self->{pid} does not answer"
		    unless Weir::readable($self->{ctl},
			$Weir::ALARM);
		sysread $self->{ctl}, $line, 1 << 20, length $line or
		    croak "peer $self->{pid} has gone";
	}
	($line, $self->{rest}) = $line =~ /^(.*?)\n(.*)$/s;
	return JSON::PP->new->allow_nonref->decode($line);
}

sub ask
{
	my ($self, $word, @args) = @_;

	syswrite $self->{ctl}, $JSON->encode([$word, @args]) . "\n" or
	    croak "peer $self->{pid} has gone";
	return $self->answer;
}

# Wait until a number of its stats is at least n (or exactly: "open", 0).
sub await
{
	my ($self, $what, $n) = @_;

	return $self->ask('await', $what, $n);
}

sub stats { return $_[0]->ask('stats') }
sub addr { return $_[0]{addr} }
sub port { return $_[0]{port} }

sub stop
{
	my ($self) = @_;

	return unless delete $CONTROL{$self->{pid}};
	close $self->{ctl};
	local $?;
	waitpid $self->{pid}, 0;
	return;
}

sub DESTROY
{
	my ($self) = @_;

	kill 'KILL', $self->{pid} if $self->{pid} && $CONTROL{$self->{pid}};
	$self->stop if $self->{pid};
}

# ---- Servers ---------------------------------------------------------------

sub bind_to
{
	my (%o) = @_;

	return IO::Socket::UNIX->new(Local => $o{unix},
	    Listen => SOMAXCONN) // croak "unix:$o{unix}: $!" if $o{unix};
	return Weir::listener(%o);
}

# A server: a table of what it does when a connection comes, brings bytes,
# has said all it will.
sub server
{
	my ($class, $how, %o) = @_;
	my $lsn = bind_to(%o);
	my %self = (addr => Weir::addr_of($lsn));

	chmod 0777, $o{unix} if $o{unix};
	$self{port} = $lsn->sockport unless $o{unix};
	setsockopt $lsn, SOL_SOCKET, SO_RCVBUF, $o{rcvbuf} if $o{rcvbuf};
	setsockopt $lsn, SOL_SOCKET, SO_SNDBUF, $o{sndbuf} if $o{sndbuf};
	$lsn->blocking(0);
	my $p = $class->spawn(sub {
		Weir::Peer::Loop->new($_[0], $lsn, $how)->run;
	}, %self);
	close $lsn;
	return $p;
}

sub echo
{
	my ($class, %o) = @_;

	return $class->server({
		data => sub {
			my ($p, $c, $bytes) = @_;
			$p->put($c, $bytes);
			$p->pause($c) if length $c->{out} > 4 * $BLOCK;
		},
		drained => sub { $_[0]->resume($_[1]) },
		eof => sub { $_[0]->end($_[1]) },
	}, %o);
}

sub sink
{
	my ($class, %o) = @_;

	return $class->server({ eof => sub { $_[0]->end($_[1]) } }, %o);
}

sub digest
{
	my ($class, %o) = @_;

	return $class->server({ eof => sub {
		my ($p, $c) = @_;
		$p->put($c, "$c->{bytes} " .
		    $c->{md5}->clone->hexdigest . "\n");
		$p->end($c);
	} }, %o);
}

# Sends `bytes` of the stream to everyone, then ends.
sub source
{
	my ($class, $total, %o) = @_;
	my $more = sub {
		my ($p, $c) = @_;
		my $left = $total - ($c->{sent} // 0);

		return $p->end($c) if $left <= 0;
		my $b = block($c->{sent} / $BLOCK);
		$b = substr $b, 0, $left if $left < length $b;
		$c->{sent} += length $b;
		$p->put($c, $b);
	};

	return $class->server({ accept => sub {
		$_[1]{sent} = 0;
		$more->(@_);
	}, drained => $more }, %o);
}

# Speaks first, then is an echo; close => 1: speaks and closes.
sub greeting
{
	my ($class, $text, %o) = @_;

	return $class->server({
		accept => sub {
			my ($p, $c) = @_;
			$p->put($c, $text);
			$p->end($c) if $o{close};
		},
		data => sub { $_[0]->put($_[1], $_[2]) unless $o{close} },
		eof => sub { $_[0]->end($_[1]) },
	}, %o);
}

# Speaks, says that this is all, and reads on.
sub talker
{
	my ($class, $text, %o) = @_;

	return $class->server({ accept => sub {
		my ($p, $c) = @_;
		$p->put($c, $text);
		$p->end($c);
	} }, %o);
}

# Reads nothing until ask('read', n) allows n more bytes a connection.
sub slow
{
	my ($class, %o) = @_;

	return $class->server({ accept => sub { $_[0]->pause($_[1]) },
		eof => sub { $_[0]->end($_[1]) } },
	    rcvbuf => 65536, %o);
}

# Reads and never answers; not even to an end.
sub mute { my ($class, %o) = @_; return $class->server({}, %o) }

# Resets at once, or after the first bytes (late => 1).
sub resets
{
	my ($class, %o) = @_;

	return $class->server({ ($o{late} ? 'data' : 'accept') => sub {
		$_[0]->drop($_[1], 1);
	} }, %o);
}

sub closes
{
	my ($class, %o) = @_;

	return $class->server({ ($o{late} ? 'data' : 'accept') => sub {
		$_[0]->end($_[1]);
		$_[0]->drop($_[1]);
	} }, %o);
}

# A port that is taken and refuses.
sub refuses
{
	my ($class) = @_;
	my $s = IO::Socket::IP->new(LocalHost => '127.0.0.1',
	    LocalPort => 0, Proto => 'tcp') // croak "bind: $@";

	return bless { sock => $s, port => $s->sockport,
		addr => Weir::addr_of($s) }, $class;
}

# A port that does not answer any more: its queue is full.
sub full
{
	my ($class) = @_;
	my $s = Weir::listener(backlog => 1);
	my @in = map {
		IO::Socket::IP->new(PeerHost => '127.0.0.1',
		    PeerPort => $s->sockport, Blocking => 0)
	} 1 .. 4;

	return bless { sock => $s, in => \@in, port => $s->sockport,
		addr => Weir::addr_of($s) }, $class;
}

# ---- The loop of a server --------------------------------------------------

package Weir::Peer::Loop;

use strict;
use warnings;

sub new
{
	my ($class, $ctl, $lsn, $how) = @_;
	my $p = bless {
		ctl => $ctl, lsn => $lsn, how => $how, conn => {}, all => [],
		rd => '', wr => '', line => '', await => undef,
		later => [], n => { accepted => 0, open => 0, open_max => 0,
			bytes => 0, eofs => 0, resets => 0 },
	}, $class;

	vec($p->{rd}, fileno $_, 1) = 1 for $ctl, $lsn;
	return $p;
}

sub run
{
	my ($p) = @_;

	while (!$p->{over}) {
		my ($r, $w) = ($p->{rd}, $p->{wr});

		my $n = select $r, $w, undef, $p->wait;
		$p->due;
		next if $n <= 0;
		$p->send_more($_) for $p->ready($w);
		$p->receive($_) for $p->ready($r);
		$p->accept if $p->{lsn} && vec $r, fileno $p->{lsn}, 1;
		$p->command if vec $r, fileno $p->{ctl}, 1;
		$p->check;
	}
}

# Do it after so many seconds, which are the same for all.
sub later
{
	my ($p, $seconds, $code) = @_;

	push @{$p->{later}}, [Weir::now() + $seconds, $code];
}

sub wait
{
	my ($p) = @_;
	my ($first) = @{$p->{later}} or return undef;
	my $left = $first->[0] - Weir::now();

	return $left > 0 ? $left : 0;
}

sub due
{
	my ($p) = @_;

	while (@{$p->{later}} && $p->{later}[0][0] <= Weir::now()) {
		(shift @{$p->{later}})->[1]->();
	}
}

# The connections whose bits are set.
sub ready
{
	my ($p, $bits) = @_;
	my $s = unpack 'b*', $bits;
	my ($at, @c) = (-1);

	while (($at = index $s, '1', $at + 1) >= 0) {
		push @c, $p->{conn}{$at} if $p->{conn}{$at};
	}
	return @c;
}

sub accept
{
	my ($p) = @_;

	for (1 .. 64) {
		my $fh = $p->{lsn}->accept or return;
		my $c = { fh => $fh, fd => fileno $fh, out => '', bytes => 0,
			got => '', md5 => Digest::MD5->new, room => -1 };

		$fh->blocking(0);
		$p->{conn}{$c->{fd}} = $c;
		push @{$p->{all}}, $c;
		vec($p->{rd}, $c->{fd}, 1) = 1;
		$p->{n}{accepted}++;
		$p->{n}{open}++;
		$p->{n}{open_max} = $p->{n}{open}
		    if $p->{n}{open} > $p->{n}{open_max};
		$p->tell('accept', $c);
	}
}

sub tell
{
	my ($p, $what, @args) = @_;
	my $f = $p->{how}{$what};

	$f->($p, @args) if $f;
}

sub receive
{
	my ($p, $c) = @_;
	my ($max, $bytes) = (1 << 18);

	return unless $c->{fh};
	$max = $c->{room} if $c->{room} >= 0 && $c->{room} < $max;
	my $n = sysread $c->{fh}, $bytes, $max;
	if (!defined $n) {
		return if $!{EAGAIN} || $!{EINTR};
		$p->{n}{resets}++;
		return $p->drop($c);
	}
	if ($n == 0) {
		$p->{n}{eofs}++;
		$c->{eof} = 1;
		vec($p->{rd}, $c->{fd}, 1) = 0;
		$p->tell('eof', $c);
		return $p->over($c);
	}
	if ($c->{room} >= 0 && ($c->{room} -= $n) == 0) {
		vec($p->{rd}, $c->{fd}, 1) = 0;
	}
	$c->{bytes} += $n;
	$p->{n}{bytes} += $n;
	$c->{md5}->add($bytes);
	$c->{got} .= substr $bytes, 0, 4096 - length $c->{got}
	    if length $c->{got} < 4096;
	$p->tell('data', $c, $bytes);
}

sub put
{
	my ($p, $c, $bytes) = @_;

	$c->{out} .= $bytes;
	vec($p->{wr}, $c->{fd}, 1) = 1 if $c->{fh};
}

sub send_more
{
	my ($p, $c) = @_;

	return unless $c->{fh};
	my $n = syswrite $c->{fh}, $c->{out};
	if (!defined $n) {
		return if $!{EAGAIN} || $!{EINTR};
		$p->{n}{resets}++;
		return $p->drop($c);
	}
	substr($c->{out}, 0, $n) = '';
	return if length $c->{out};
	vec($p->{wr}, $c->{fd}, 1) = 0;
	return $p->over($c) if $c->{ending};
	$p->tell('drained', $c);
}

sub pause { my ($p, $c) = @_; vec($p->{rd}, $c->{fd}, 1) = 0 if $c->{fh} }

sub resume
{
	my ($p, $c) = @_;

	vec($p->{rd}, $c->{fd}, 1) = 1 if $c->{fh} && !$c->{eof};
}

# Nothing more will be put.
sub end
{
	my ($p, $c) = @_;

	return if $c->{ending}++;
	$p->over($c);
}

sub over
{
	my ($p, $c) = @_;

	return unless $c->{fh} && $c->{ending} && !length $c->{out};
	shutdown $c->{fh}, 1 unless $c->{shut}++;
	$p->drop($c) if $c->{eof};
}

sub drop
{
	my ($p, $c, $hard) = @_;
	my $fh = delete $c->{fh} or return;

	setsockopt $fh, Socket::SOL_SOCKET(), Socket::SO_LINGER(),
	    pack('ii', 1, 0) if $hard;
	vec($p->{$_}, $c->{fd}, 1) = 0 for qw(rd wr);
	delete $p->{conn}{$c->{fd}};
	$c->{digest} = $c->{md5}->clone->hexdigest;
	close $fh;
	$p->{n}{open}--;
}

# ---- What the test asks for

my %COMMAND = (
	stats => sub {
		my ($p) = @_;
		return { %{$p->{n}},
			got => [map { $_->{got} } @{$p->{all}}],
			md5 => [map { $_->{md5}->clone->hexdigest }
			    @{$p->{all}}] };
	},
	await => sub {
		my ($p, $what, $n) = @_;
		$p->{await} = [$what, $n];
		return;
	},
	# Let each connection bring n more bytes; -1: all.
	read => sub {
		my ($p, $n) = @_;
		for my $c (values %{$p->{conn}}) {
			$c->{room} = $n;
			$p->resume($c);
		}
		return 1;
	},
	put => sub {
		my ($p, $bytes) = @_;
		$p->put($_, $bytes) for values %{$p->{conn}};
		return 1;
	},
	end => sub { $_[0]->end($_) for values %{$_[0]{conn}}; return 1 },
	drop => sub { $_[0]->drop($_, 0) for values %{$_[0]{conn}}; return 1 },
	reset => sub { $_[0]->drop($_, 1) for values %{$_[0]{conn}}; return 1 },
	# Stop listening; connections stay, also those that came just now.
	refuse => sub {
		my ($p) = @_;
		$p->accept;
		$p->{at} = [$p->{lsn}->sockhost, $p->{lsn}->sockport]
		    if $p->{lsn}->isa('IO::Socket::IP');
		vec($p->{rd}, fileno $p->{lsn}, 1) = 0;
		close delete $p->{lsn};
		return 1;
	},
	# And listen again, on the same port.
	listen => sub {
		my ($p) = @_;
		my ($host, $port) = @{$p->{at}};
		$p->{lsn} = Weir::listener(host => $host, port => $port);
		$p->{lsn}->blocking(0);
		vec($p->{rd}, fileno $p->{lsn}, 1) = 1;
		return 1;
	},
	# What the server's own code makes of it.
	mode => sub { $_[0]{mode} = $_[1]; return 1 },
	# What it has noted.
	notes => sub { return $_[0]{notes} // [] },
);

sub command
{
	my ($p) = @_;

	# The test has ended, or does not want us any more.
	return $p->{over} = 1
	    unless sysread $p->{ctl}, $p->{line}, 65536, length $p->{line};
	while ($p->{line} =~ s/^(.*)\n//) {
		my ($word, @args) = @{$JSON->decode($1)};
		my $f = $COMMAND{$word} or die "what is $word?";
		my $r = $f->($p, @args);
		$p->reply($r) if defined $r;
	}
}

sub reply
{
	my ($p, $r) = @_;
	my $text = JSON::PP->new->allow_nonref->encode($r) . "\n";

	$p->{ctl}->blocking(1);
	while (length $text) {
		my $n = syswrite $p->{ctl}, $text or last;
		substr($text, 0, $n) = '';
	}
}

sub check
{
	my ($p) = @_;
	my ($what, $n) = @{$p->{await} // return};
	my $have = $p->{n}{$what};

	return if $what eq 'open' ? $have > $n : $have < $n;
	$p->{await} = undef;
	$p->reply($have);
}

1;
