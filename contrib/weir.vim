" SPDX-License-Identifier: BSD-2-Clause
" Vim syntax file for weir.conf(5).  Copy it to ~/.vim/syntax/weir.vim and add
"   au BufRead,BufNewFile weir.conf,*/weir/*.conf set filetype=weir
" to your vimrc.  A test compares the keys with those that weir knows.
if exists("b:current_syntax")
  finish
endif

setlocal iskeyword=@,48-57,_,-

syn keyword weirKey access access_log address allow backend backlog backoff
syn keyword weirKey backup balance body budget_min budget_percent buffers
syn keyword weirKey client client_idle connect connections control deadline
syn keyword weirKey defaults deny drain eject error_log events expect failures
syn keyword weirKey fall fallback family fast fields file first_byte for format
syn keyword weirKey grace group half_close handshake hash_on health heartbeat
syn keyword weirKey hold host idle include interval label level lifetime limit
syn keyword weirKey linger listen listener listeners location max_backoff
syn keyword weirKey max_conns max_for max_percent method misses mode name on
syn keyword weirKey on_down on_remove on_up owner panic pid port preread
syn keyword weirKey protocol proxy_protocol queue queue_max reload_timeout
syn keyword weirKey resolver retry return rise routes send server_idle servers
syn keyword weirKey servers_max skip slow_start source spill spread state
syn keyword weirKey status steps timeout timeouts to tries ttl_max ttl_min type
syn keyword weirKey unsent upstream upstreams uri user wait_up warn watchdog
syn keyword weirKey weight window workers

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
