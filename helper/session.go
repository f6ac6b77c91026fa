// SPDX-License-Identifier: Apache-2.0

package helper

import "errors"

const (
	sessionCommand = "session"
	leashCommand   = "leash"
)

// LetGo is what a leash is told when its session has ended by itself: what that
// left running then goes on.
const LetGo = "let go\n"

// Session is a command that somebody runs in a container. Each has two processes
// of the helper: one becomes the command, and the other, the leash, ends everything
// that the first one started when its standard input ends without [LetGo]: whoever
// looked on is gone.
type Session struct {
	Name    string   // of this session alone
	Command []string // argv; not empty
}

// Args returns the arguments that follow /Agent/agent-server. [ParseSession] is
// the inverse.
func (s Session) Args() []string {
	return append([]string{sessionCommand, s.Name, endOfFlags}, s.Command...)
}

// ParseSession returns the Session whose Args are args.
func ParseSession(args []string) (Session, error) {
	if len(args) < 4 || args[0] != sessionCommand || args[1] == "" || args[2] != endOfFlags {
		return Session{}, errors.New("the arguments are not a session's name and a command")
	}
	return Session{Name: args[1], Command: args[3:]}, nil
}

// LeashArgs returns the arguments that follow /Agent/agent-server, for the leash.
// [ParseLeash] is the inverse.
func (s Session) LeashArgs() []string { return []string{leashCommand, s.Name} }

// ParseLeash returns the name of the session whose LeashArgs are args.
func ParseLeash(args []string) (name string, err error) {
	if len(args) != 2 || args[0] != leashCommand || args[1] == "" {
		return "", errors.New("the arguments are not a session's name")
	}
	return args[1], nil
}
