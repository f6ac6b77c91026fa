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
	made := false // the next word is the target of >
	endWord := func() {
		if word.Len() == 0 {
			return
		}
		w := hookWord{text: word.String()}
		if made {
			w.use, made = wordMade, false
		}
		command = append(command, w)
		word.Reset()
	}
	endCommand := func() {
		endWord()
		words = append(words, judge(command)...)
		command, made = nil, false
	}
	previous := ' '
	for _, c := range line {
		switch {
		case c == '>':
			endWord()
			made = previous != '>' // what is there stays before >>
		case c == '|' && previous == '>':
			made = true
		case c == '&' && previous == '>':
			made = false
		case strings.ContainsRune("|&;()\n{}`", c):
			endCommand()
		case strings.ContainsRune(" \t\r\"'<=$,\\", c):
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
		case i == 0 || w.use != wordUsed:
		case name == "[" || name == "[[" || name == "test":
			w.use = wordTested
		case last && !into && (name == "cp" || name == "mv"), isOutput(name, command[i-1].text):
			w.use = wordMade
		}
	}
	return command
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

// hookNames lists the files below the agent's folder that the words of commands
// could be: slash paths, each once, but for what the commands make themselves.
func hookNames(commands []string) []string {
	var names, made []string
	for _, line := range commands {
		for _, w := range hookWords(line) {
			name := path.Clean(w.text)
			switch {
			case w.use == wordTested || !localName(name) || slices.Contains(made, name):
			case w.use == wordMade:
				made = append(made, name)
			case !slices.Contains(names, name):
				names = append(names, name)
			}
		}
	}
	return names
}

// localName reports whether a clean slash path is of something below a folder.
func localName(name string) bool {
	return name != "." && name != ".." && !strings.HasPrefix(name, "../") && !path.IsAbs(name)
}
