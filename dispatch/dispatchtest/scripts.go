// SPDX-License-Identifier: Apache-2.0

package dispatchtest

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"time"
)

// The scripts of the suite: what /bin/sh -c is given in a container. [Programs] has
// the same for [Memory].
const (
	Cat = `cat`
	// Exit ends with status 3.
	Exit = `exit 3`
	// Flood writes 10 MiB to stderr, and then what it reads to stdout.
	Flood = `head -c 10485760 /dev/zero >&2; cat`
	// Both writes to both streams.
	Both = `echo out; echo err >&2`
	// Polite says ready, and ends with status 7 when it is told to.
	Polite = `trap 'echo bye; exit 7' TERM; echo ready; while :; do sleep 0.1; done`
	// Deaf says ready, and does not end when it is told to.
	Deaf = `trap '' TERM; echo ready; while :; do sleep 0.1; done`
	// Shut closes stdout, and reads to the end.
	Shut = `echo out; exec 1>&-; cat >/dev/null; exit 4`
	// Vars writes the variables ONE and TWO.
	Vars = `echo "$ONE,$TWO"`
	// Fetch writes what is at the URL in the variable URL.
	Fetch = `wget -q -O - "$URL"`
)

// flood is how much Flood writes, in bytes.
const flood = 10 << 20

// Programs are the scripts, for [Memory].
func Programs() map[string]Program {
	return map[string]Program{
		Cat: func(p *Process) int { return copied(p.Stdout, p.Stdin) },
		Exit: func(*Process) int {
			return 3
		},
		Flood: func(p *Process) int {
			if _, err := p.Stderr.Write(make([]byte, flood)); err != nil {
				return 1
			}
			return copied(p.Stdout, p.Stdin)
		},
		Both: func(p *Process) int {
			say(p.Stdout, "out\n")
			say(p.Stderr, "err\n")
			return 0
		},
		Polite: func(p *Process) int {
			say(p.Stdout, "ready\n")
			select {
			case <-p.Terminated:
				say(p.Stdout, "bye\n")
				return 7
			case <-p.Killed:
				return 0
			}
		},
		Deaf: func(p *Process) int {
			say(p.Stdout, "ready\n")
			<-p.Killed
			return 0
		},
		Shut: func(p *Process) int {
			say(p.Stdout, "out\n")
			copied(io.Discard, p.Stdin)
			return 4
		},
		Vars: func(p *Process) int {
			say(p.Stdout, p.Env["ONE"]+","+p.Env["TWO"]+"\n")
			return 0
		},
		Fetch: func(p *Process) int {
			res, err := p.Request("GET", p.Env["URL"], "", nil)
			if err != nil {
				say(p.Stderr, err.Error())
				return 1
			}
			say(p.Stdout, res.Body)
			return 0
		},
	}
}

func say(w io.Writer, text string) { _, _ = io.WriteString(w, text) }

func copied(to io.Writer, from io.Reader) int {
	if _, err := io.Copy(to, from); err != nil {
		return 1
	}
	return 0
}

// patience is for what must happen and has no time of its own.
const patience = time.Minute

// pattern is size bytes in which nothing comes twice.
func pattern(size int) []byte {
	var b bytes.Buffer
	for i := 0; b.Len() < size; i++ {
		fmt.Fprintf(&b, "%d %s\n", i, strings.Repeat("x", i%80))
	}
	return b.Bytes()[:size]
}
