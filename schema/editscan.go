// SPDX-License-Identifier: Apache-2.0

package schema

import "bytes"

const byteOrderMark = "\ufeff"

// scanner finds where the values of YAML and JSON end. All of it is about files
// that were parsed: what it makes of others means nothing, but it stays within
// them.
type scanner struct{ src []byte }

func (s scanner) peek(i int) byte {
	if i < len(s.src) {
		return s.src[i]
	}
	return 0
}

func isBreak(b byte) bool { return b == '\n' || b == '\r' }

func isBlank(b byte) bool { return b == ' ' || b == '\t' }

// lineStart and lineEnd are the first byte of a line and the one behind its
// last, its line break not counted.
func (s scanner) lineStart(i int) int {
	for i > 0 && !isBreak(s.src[i-1]) {
		i--
	}
	if i == 0 && bytes.HasPrefix(s.src, []byte(byteOrderMark)) {
		return len(byteOrderMark)
	}
	return i
}

func (s scanner) lineEnd(i int) int {
	for i < len(s.src) && !isBreak(s.src[i]) {
		i++
	}
	return i
}

// nextLine is the start of the line behind the one of i, the end of the file if
// there is none.
func (s scanner) nextLine(i int) int {
	i = s.lineEnd(i)
	if s.peek(i) == '\r' && s.peek(i+1) == '\n' {
		return i + 2
	}
	return min(i+1, len(s.src))
}

func (s scanner) column(i int) int { return i - s.lineStart(i) }

// space skips blanks.
func (s scanner) space(i int) int {
	for i < len(s.src) && isBlank(s.src[i]) {
		i++
	}
	return i
}

// gap skips blanks, line breaks and comments.
func (s scanner) gap(i int) int {
	for i < len(s.src) {
		switch {
		case isBlank(s.src[i]) || isBreak(s.src[i]):
			i++
		case s.src[i] == '#' && (i == 0 || isBlank(s.src[i-1]) || isBreak(s.src[i-1])):
			i = s.lineEnd(i)
		default:
			return i
		}
	}
	return i
}

// word is the end of what has no blank in it.
func (s scanner) word(i int) int {
	for i < len(s.src) && !isBlank(s.src[i]) && !isBreak(s.src[i]) && bytes.IndexByte([]byte(",[]{}"), s.src[i]) < 0 {
		i++
	}
	return i
}

// properties skips the anchor and the tag before a value.
func (s scanner) properties(i int) int {
	for s.peek(i) == '&' || s.peek(i) == '!' {
		i = s.gap(s.word(i))
	}
	return i
}

// dashBefore is where the dash of an item is whose value begins at i, on the
// same line; -1 = there is none.
func (s scanner) dashBefore(i int) int {
	start := s.lineStart(i)
	for i--; i > start && isBlank(s.src[i]); {
		i--
	}
	if i < start || s.peek(i) != '-' {
		return -1
	}
	return i
}

// closing is the byte behind the bracket that follows i.
func (s scanner) closing(i int, bracket byte) int {
	for i < len(s.src) {
		if i = s.gap(i); s.peek(i) == bracket {
			return i + 1
		}
		i++
	}
	return len(s.src)
}

// quoted is the end of a text in quotes.
func (s scanner) quoted(i int) int {
	quote := s.peek(i)
	for i++; i < len(s.src); i++ {
		switch {
		case s.src[i] == '\\' && quote == '"':
			i++
		case s.src[i] == quote && quote == '\'' && s.peek(i+1) == quote:
			i++
		case s.src[i] == quote:
			return i + 1
		}
	}
	return len(s.src)
}

// plain is the end of a text without quotes, which goes on in lines that are
// indented by more than limit.
func (s scanner) plain(i, limit int) int {
	end := i
	for {
		stop := s.lineEnd(i)
		comment := false
		for j := i; j < stop; j++ {
			if s.src[j] == '#' && j > i && isBlank(s.src[j-1]) {
				stop, comment = j, true
			}
		}
		if text := bytes.TrimRight(s.src[i:stop], " \t"); len(text) > 0 {
			end = i + len(text)
		}
		if comment {
			return end
		}
		next := s.nextLine(i)
		for next < len(s.src) && s.isEmpty(next) {
			next = s.nextLine(next)
		}
		first := s.space(next)
		if next <= i || next >= len(s.src) || s.column(first) <= limit || s.src[first] == '#' {
			return end
		}
		i = first
	}
}

// isEmpty reports whether there is nothing but blanks in the line that begins at
// i.
func (s scanner) isEmpty(i int) bool {
	i = s.space(i)
	return i >= len(s.src) || isBreak(s.src[i])
}

// plainFlow is the end of a text without quotes in brackets.
func (s scanner) plainFlow(i int) int {
	end := i
	for ; i < len(s.src); i++ {
		b, next := s.src[i], s.peek(i+1)
		inBrackets := bytes.IndexByte([]byte(",[]{}"), next) >= 0
		switch {
		case bytes.IndexByte([]byte(",[]{}"), b) >= 0:
			return end
		case b == ':' && (isBlank(next) || isBreak(next) || inBrackets):
			return end
		case b == '#' && i > 0 && (isBlank(s.src[i-1]) || isBreak(s.src[i-1])):
			return end
		case !isBlank(b) && !isBreak(b):
			end = i + 1
		}
	}
	return end
}

// block is the end of a text after | or >, which are all lines that are indented
// by more than limit.
func (s scanner) block(i, limit int) int {
	header := s.lineEnd(i)
	keep := bytes.IndexByte(s.src[i:min(i+3, header)], '+') >= 0
	end := header
	for next := s.nextLine(i); next < len(s.src); next = s.nextLine(next) {
		switch empty := s.isEmpty(next); {
		case !empty && s.column(s.space(next)) <= limit:
			return end
		case !empty || keep:
			end = s.lineEnd(next)
		}
	}
	return end
}
