// SPDX-License-Identifier: Apache-2.0

package helper

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

const (
	initCommand   = "init"
	besideFlag    = "--beside"
	livenessFlag  = "--liveness"
	readinessFlag = "--readiness"
	secretsFlag   = "--secrets"
	taskFlag      = "--task"
	endOfFlags    = "--"
)

// Config says what the helper runs as PID 1 of a container.
type Config struct {
	// Main is the argv of the main process, whose exit status is the
	// container's. Empty: the default supervisor.
	Main []string
	// Beside is the argv of a second process, restarted when it exits. Empty:
	// none.
	Beside []string
	// Liveness and Readiness are probes; nil = none. With any of them the helper
	// reports at [Socket].
	Liveness, Readiness *Probe
	// Secrets names the variables whose values must not get into the output of
	// probes.
	Secrets []string
	// Task: Main is a command that runs once, with neither Beside nor probes; nil =
	// it is not.
	Task *Task
}

// Args returns the arguments that follow /Agent/agent-server:
//
//	init [--liveness JSON] [--readiness JSON] [--task JSON] [--secrets N NAME1 … NAMEN] [--beside N ARG1 … ARGN] -- [MAIN…]
//
// [ParseArgs] is its inverse.
func (c Config) Args() []string {
	args := []string{initCommand}
	args = appendProbe(args, livenessFlag, c.Liveness)
	args = appendProbe(args, readinessFlag, c.Readiness)
	args = appendTask(args, c.Task)
	args = appendCounted(args, secretsFlag, c.Secrets)
	args = appendCounted(args, besideFlag, c.Beside)
	args = append(args, endOfFlags)
	return append(args, c.Main...)
}

// ParseArgs returns the Config whose Args are args. Absent processes are nil.
func ParseArgs(args []string) (Config, error) {
	if len(args) == 0 || args[0] != initCommand {
		return Config{}, fmt.Errorf("the first argument is not %q", initCommand)
	}
	var c Config
	args = args[1:]
	for {
		if len(args) == 0 {
			return Config{}, fmt.Errorf("%q is missing", endOfFlags)
		}
		flag := args[0]
		args = args[1:]
		switch flag {
		case endOfFlags:
			if len(args) > 0 {
				c.Main = args
			}
			if c.Task != nil && (c.Beside != nil || c.Liveness != nil || c.Readiness != nil) {
				return Config{}, fmt.Errorf("%s is given with something that runs beside it", taskFlag)
			}
			return c, nil
		case besideFlag, secretsFlag:
			into := &c.Beside
			if flag == secretsFlag {
				into = &c.Secrets
			}
			if *into != nil {
				return Config{}, fmt.Errorf("%s is given twice", flag)
			}
			these, rest, err := counted(args)
			if err != nil {
				return Config{}, fmt.Errorf("%s: %w", flag, err)
			}
			*into, args = these, rest
		case taskFlag:
			if c.Task != nil || len(args) == 0 {
				return Config{}, fmt.Errorf("%s is given twice, or without a task", flag)
			}
			c.Task = new(Task)
			if err := decode(args[0], c.Task); err != nil || c.Task.Timeout < 0 || c.Task.KeepAlive < 0 {
				return Config{}, fmt.Errorf("%s: %s is none", flag, args[0])
			}
			args = args[1:]
		case livenessFlag, readinessFlag:
			into := &c.Liveness
			if flag == readinessFlag {
				into = &c.Readiness
			}
			if *into != nil || len(args) == 0 {
				return Config{}, fmt.Errorf("%s is given twice, or without a probe", flag)
			}
			p, err := parseProbe(args[0])
			if err != nil {
				return Config{}, fmt.Errorf("%s: %w", flag, err)
			}
			*into, args = p, args[1:]
		default:
			return Config{}, fmt.Errorf("unknown argument %q", flag)
		}
	}
}

func appendCounted(args []string, flag string, words []string) []string {
	if len(words) == 0 {
		return args
	}
	args = append(args, flag, strconv.Itoa(len(words)))
	return append(args, words...)
}

func appendProbe(args []string, flag string, p *Probe) []string {
	if p == nil {
		return args
	}
	b, err := json.Marshal(p)
	if err != nil {
		return args // a probe always has a JSON form
	}
	return append(args, flag, string(b))
}

func appendTask(args []string, t *Task) []string {
	if t == nil {
		return args
	}
	b, err := json.Marshal(t)
	if err != nil {
		return args // a task always has a JSON form
	}
	return append(args, taskFlag, string(b))
}

func parseProbe(text string) (*Probe, error) {
	p := new(Probe)
	if err := decode(text, p); err != nil {
		return nil, fmt.Errorf("parse probe: %w", err)
	}
	if p.Script == "" || strings.ContainsRune(p.Script, '/') || p.Interval <= 0 || p.Timeout <= 0 ||
		p.InitialDelay < 0 || p.FailureThreshold < 1 || p.SuccessThreshold < 1 {
		return nil, fmt.Errorf("parse probe: %s is none", text)
	}
	return p, nil
}

// decode reads one JSON value, all of whose fields are known.
func decode(text string, into any) error {
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if rest := strings.TrimSpace(text[d.InputOffset():]); rest != "" {
		return fmt.Errorf("there is something after it: %q", rest)
	}
	return nil
}

// counted splits args, a count followed by at least that many arguments.
func counted(args []string) (these, rest []string, err error) {
	if len(args) == 0 {
		return nil, nil, errors.New("the number of arguments is missing")
	}
	n, err := strconv.Atoi(args[0])
	if err != nil || n < 1 || strconv.Itoa(n) != args[0] {
		return nil, nil, fmt.Errorf("%q is not a number of arguments", args[0])
	}
	args = args[1:]
	if n > len(args) {
		return nil, nil, fmt.Errorf("%d arguments announced, %d given", n, len(args))
	}
	return args[:n:n], args[n:], nil
}
