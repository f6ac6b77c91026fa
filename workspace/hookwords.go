// SPDX-License-Identifier: Apache-2.0

package workspace

import (
	"path"
	"slices"
	"strings"
)

// wordUse is what a command of the shell does with a word.
type wordUse int

const (
	wordUsed   wordUse = iota // or nobody knows
	wordRun                   // what is in it is run, or says what is
	wordMade                  // it is written from scratch
	wordTested                // it is only asked whether it is there
)

// hookWord is a word of a command.
type hookWord struct {
	text string
	use  wordUse
}

// hookWords lists the words of a command line, those within quotes too. It is no
// parser of the shell: a word too much is only a file more to look for.
func hookWords(line string) []hookWord {
	var words []hookWord
	var command []hookWord // the simple command so far
	var word strings.Builder
	next := wordUsed // of the next word, after < or >
	endWord := func() {
		if word.Len() == 0 {
			return
		}
		w := hookWord{word.String(), next}
		next = wordUsed
		command = append(command, w)
		word.Reset()
	}
	endCommand := func() {
		endWord()
		words = append(words, judge(command)...)
		command, next = nil, wordUsed
	}
	previous := ' '
	for _, c := range line {
		switch {
		case c == '>':
			endWord()
			if next = wordMade; previous == '>' { // >> keeps what is there
				next = wordUsed
			}
		case c == '|' && previous == '>':
		case c == '&' && previous == '>':
			next = wordUsed
		case c == '<':
			endWord()
			next = wordRun
		case strings.ContainsRune("|&;()\n{}`", c):
			endCommand()
		case strings.ContainsRune(" \t\r\"'=$,\\", c):
			endWord()
		default:
			word.WriteRune(c)
		}
		previous = c
	}
	endCommand()
	if whole, err := split(line); err == nil {
		for _, w := range whole {
			if strings.ContainsAny(w, " \t") {
				words = append(words, hookWord{text: w}) // a name with spaces
			}
		}
	}
	return words
}

// judge says what a simple command does with its words.
func judge(command []hookWord) []hookWord {
	for len(command) > 0 && slices.Contains([]string{"if", "then", "else", "elif", "while", "until", "do", "!"}, command[0].text) {
		command = command[1:]
	}
	if len(command) == 0 {
		return nil
	}
	name := path.Base(command[0].text)
	into := slices.ContainsFunc(command, func(w hookWord) bool {
		return strings.HasPrefix(w.text, "-t") || strings.HasPrefix(w.text, "--t")
	})
	for i := range command {
		w := &command[i]
		last := i > 1 && i == len(command)-1
		switch {
		case w.use != wordUsed:
		case i == 0:
			w.use = wordRun
		case name == "[" || name == "[[" || name == "test":
			w.use = wordTested
		case last && !into && (name == "cp" || name == "mv"), isOutput(name, command[i-1].text):
			w.use = wordMade
		case isRun(command[:i]):
			w.use = wordRun
		}
	}
	return command
}

// isRun reports whether what follows the words is a script, or a file that says
// what is done.
func isRun(before []hookWord) bool {
	if slices.Contains([]string{"-f", "--file", "-r", "--requirement"}, before[len(before)-1].text) {
		return true
	}
	for i := len(before) - 1; i >= 0; i-- {
		word := before[i].text
		if !strings.HasPrefix(word, "-") {
			return interprets(path.Base(word))
		}
	}
	return false
}

// interprets reports whether a program runs the file that is its first argument.
func interprets(name string) bool {
	return slices.Contains([]string{
		".", "source", "sh", "bash", "ash", "dash", "ksh", "zsh", "busybox", "node", "nodejs", "deno", "bun", "python", "python2", "python3",
		"perl", "ruby", "php", "lua",
	}, name)
}

// isScript reports whether a file is one by its name.
func isScript(name string) bool {
	return slices.Contains([]string{".sh", ".bash", ".py", ".js", ".mjs", ".cjs", ".ts", ".rb", ".pl", ".php", ".lua"}, path.Ext(name))
}

// isOutput reports whether what follows a flag of a command is the file that it
// writes.
func isOutput(command, flag string) bool {
	switch command {
	case "curl":
		return flag == "-o" || flag == "--output"
	case "wget":
		return flag == "-O" || flag == "--output-document"
	}
	return false
}

// hookName is a file below the agent's folder that a word of a command may be.
type hookName struct {
	path string // slash path
	run  bool   // by its place in the command, or its name
}

// hookNames lists the files that words of commands may be, each once, but for
// what the commands make themselves.
func hookNames(commands []string) []hookName {
	var names []hookName
	var made []string
	for _, line := range commands {
		for _, w := range hookWords(line) {
			name := path.Clean(w.text)
			if w.use == wordTested || !localName(name) || slices.Contains(made, name) {
				continue
			}
			i := slices.IndexFunc(names, func(n hookName) bool { return n.path == name })
			run := w.use == wordRun || isScript(name)
			switch {
			case i >= 0:
				names[i].run = names[i].run || run
			case w.use == wordMade:
				made = append(made, name)
			default:
				names = append(names, hookName{name, run})
			}
		}
	}
	return names
}

// localName reports whether a clean slash path is of something below a folder.
func localName(name string) bool {
	return name != "." && name != ".." && !strings.HasPrefix(name, "../") && !path.IsAbs(name)
}
