// SPDX-License-Identifier: Apache-2.0

package dispatch

import "time"

// Target is one run of one container. Another start of it is another target.
type Target struct {
	Handle  string // the runtime's name for the container
	Started time.Time
}

// Route is what is known of one instance.
type Route struct {
	// Ready: requests go to Target. The fields below say why they do not.
	Ready  bool
	Target Target
	State  string // in a word, for people
	Reason string
	// Retry is when to try again, a second at least.
	Retry time.Duration
	// AnswerTimeout bounds the wait for the header of an answer once a request is
	// sent; 0 = none. What comes after the header takes as long as it takes.
	AnswerTimeout time.Duration
}

// Table is all instances by name; nil = it is not known yet which there are.
type Table map[string]Route
