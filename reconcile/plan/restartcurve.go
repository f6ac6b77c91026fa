// SPDX-License-Identifier: Apache-2.0

package plan

import "time"

// RestartCurve says how long what exits by itself rests before it is restarted: the
// k-th restart waits first·2^(k−1), at most most, after the exit.
type RestartCurve string

// The curves. That of instances begins with 10 s and goes up to 300 s, and anew for
// what has run for 600 s. That of daemons begins with 1 s and goes up to 60 s; what
// has run for 10 s is restarted at once, and begins anew.
const (
	CurveInstance RestartCurve = ""
	CurveDaemon   RestartCurve = "daemon"
)

// restartTimes is a curve in numbers.
type restartTimes struct {
	first, most time.Duration
	stable      time.Duration // what has run for as long begins anew
	atOnce      bool          // and is restarted at once
}

func (c RestartCurve) times() restartTimes {
	if c == CurveDaemon {
		return restartTimes{first: time.Second, most: time.Minute, stable: 10 * time.Second, atOnce: true}
	}
	return restartTimes{first: 10 * time.Second, most: 300 * time.Second, stable: 600 * time.Second}
}

// delay is how long the restart after streak others waits.
func (t restartTimes) delay(streak int) time.Duration {
	d := t.first
	for range streak {
		d *= 2
		if d >= t.most {
			return t.most
		}
	}
	return d
}
