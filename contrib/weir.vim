" SPDX-License-Identifier: BSD-2-Clause
" Vim syntax file for weir.conf(5).  Copy it to ~/.vim/syntax/weir.vim and add
"   au BufRead,BufNewFile weir.conf,*/weir/*.conf set filetype=weir
" to your vimrc.  A test compares the keys with those that weir knows.
if exists("b:current_syntax")
  finish
endif

setlocal iskeyword=@,48-57,_,-

syn keyword weirKey access access_log address allow announce backend backlog
syn keyword weirKey backoff backup balance body budget_min budget_percent
syn keyword weirKey buffers burst client client_idle connect connections conns
syn keyword weirKey conns_per_ip control deadline defaults deny drain dry_run
syn keyword weirKey eject error_log events except expect expire failures fall
syn keyword weirKey fallback family fast fields file first_byte for format
syn keyword weirKey grace group half_close handshake hash_on health heartbeat
syn keyword weirKey hold host idle include interval label level lifetime limit
syn keyword weirKey linger listen listener listeners location max_backoff
syn keyword weirKey max_conns max_for max_percent method misses mode name on
syn keyword weirKey on_down on_remove on_up owner panic pid port prefix6
syn keyword weirKey preread protocol proxy_protocol queue queue_max rate
syn keyword weirKey rate_per_ip reload_timeout reply resolver retry return rise
syn keyword weirKey routes secret send server_idle servers servers_max size
syn keyword weirKey skip slow_start source spill split_on spread state status
syn keyword weirKey steps sticky timeout timeouts to tries ttl ttl_max ttl_min
syn keyword weirKey type unsent upstream upstreams uri user wait_up warn
syn keyword weirKey watchdog weight window workers

syn keyword weirBool true false
syn match weirNumber "\<-\?\d\+\>"
syn match weirNumber "\<0[xX]\x\+\>"
syn match weirEscape contained "\\\(["\\nrtf]\|x\x\x\)"
syn match weirVariable contained "\$\?\${[^}]*}"
syn match weirUnit contained "\<\d\+\(ms\|[smhdbkg]\|/[smh]\)\>"
syn region weirString oneline start=+"+ skip=+\\.+ end=+"+
      \ contains=weirEscape,weirVariable,weirUnit
syn match weirInclude "@include\>"
syn keyword weirTodo contained TODO FIXME
syn match weirComment "#.*$" contains=weirTodo
syn match weirComment "//.*$" contains=weirTodo
syn region weirComment start="/\*" end="\*/" contains=weirTodo
syn match weirBrace "[{}()\[\]]"

hi def link weirKey Keyword
hi def link weirBool Boolean
hi def link weirNumber Number
hi def link weirEscape SpecialChar
hi def link weirVariable Identifier
hi def link weirUnit Number
hi def link weirString String
hi def link weirInclude Include
hi def link weirTodo Todo
hi def link weirComment Comment
hi def link weirBrace Delimiter

let b:current_syntax = "weir"
