// SPDX-License-Identifier: Apache-2.0

// Command tool is what containers of tests run: small deeds, by name.
//
//	pause               wait for SIGTERM
//	ignoreterm          wait and ignore SIGTERM
//	sleep DURATION      sleep, then exit 0
//	exit CODE           exit
//	exitafter DURATION CODE
//	true
//	http ADDR           answer every request with host name, path and the variable NAME
//	get URL             print the status and the body of one request
//	resolve NAME…       print the addresses of names
//	cat [FILE…]         copy files, or standard input, to standard output
//	write FILE TEXT
//	env [NAME…]         print the environment, or some of it, sorted
//	echo WORD…          print the words on standard output
//	warn WORD…          print the words on standard error
//	args                print the arguments as JSON
//	id                  print uid and gid
//	stat FILE…          print uid, gid, mode and name
//	pwd                 print the working directory
//	stamp               print the time in nanoseconds
//	tick DURATION       print a number every DURATION until SIGTERM
//	seq DEED… -- DEED…  several deeds, one after the other
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	args := os.Args[1:]
	if len(args) == 0 {
		args = []string{"pause"}
	}
	if err := run(args); err != nil {
		fmt.Fprintln(os.Stderr, "tool:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	deed, rest := args[0], args[1:]
	switch deed {
	case "pause":
		<-term()
	case "ignoreterm":
		signal.Ignore(syscall.SIGTERM)
		fmt.Println("ignoring")
		time.Sleep(24 * time.Hour)
	case "true":
	case "sleep":
		return sleep(rest)
	case "exit":
		return exit(rest)
	case "exitafter":
		if err := sleep(rest); err != nil {
			return err
		}
		return exit(rest[1:])
	case "http":
		return serve(rest)
	case "get":
		return get(rest)
	case "resolve":
		return resolve(rest)
	case "cat":
		return cat(rest)
	case "write":
		return os.WriteFile(rest[0], []byte(rest[1]), 0o644)
	case "env":
		env(rest)
	case "echo":
		fmt.Println(strings.Join(rest, " "))
	case "warn":
		fmt.Fprintln(os.Stderr, strings.Join(rest, " "))
	case "args":
		return json.NewEncoder(os.Stdout).Encode(rest)
	case "id":
		fmt.Println(os.Getuid(), os.Getgid())
	case "stat":
		return stat(rest)
	case "pwd":
		dir, err := os.Getwd()
		fmt.Println(dir)
		return err
	case "stamp":
		fmt.Println(time.Now().UnixNano())
	case "tick":
		return tick(rest)
	case "seq":
		return seq(rest)
	default:
		return fmt.Errorf("unknown deed %q", deed)
	}
	return nil
}

func term() <-chan os.Signal {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGTERM, syscall.SIGINT)
	return c
}

func sleep(args []string) error {
	d, err := time.ParseDuration(args[0])
	time.Sleep(d)
	return err
}

func exit(args []string) error {
	n, err := strconv.Atoi(args[0])
	if err == nil {
		os.Exit(n)
	}
	return err
}

func serve(args []string) error {
	stop := term()
	go func() {
		<-stop
		os.Exit(0)
	}()
	return http.ListenAndServe(args[0], http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _ := os.Hostname()
		fmt.Fprintf(w, "ok %s %s %s\n", host, r.URL.Path, os.Getenv("NAME"))
	}))
}

// patience is how long get and resolve go on asking. Whenever a container of any
// network comes or goes Podman's name server (aardvark-dns) starts afresh: it then
// loses questions, refuses them, or does not know a name that exists. A resolver
// asks again 5 s after a question that was lost, so less would be no patience.
const patience = 30 * time.Second

func get(args []string) error {
	client := http.Client{Timeout: patience}
	r, err := withName(func() (*http.Response, error) { return client.Get(args[0]) })
	if err != nil {
		return err
	}
	defer r.Body.Close()
	fmt.Println(r.StatusCode)
	_, err = io.Copy(os.Stdout, r.Body)
	return err
}

// withName tries again for as long as no address is known.
func withName[T any](try func() (T, error)) (T, error) {
	end := time.Now().Add(patience)
	for {
		v, err := try()
		if _, ok := errors.AsType[*net.DNSError](err); !ok || time.Now().After(end) {
			return v, err
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func resolve(names []string) error {
	for _, name := range names {
		addrs, err := withName(func() ([]string, error) { return net.LookupHost(name) })
		if err != nil {
			return err
		}
		fmt.Println(name, strings.Join(addrs, " "))
	}
	return nil
}

func cat(files []string) error {
	if len(files) == 0 {
		_, err := io.Copy(os.Stdout, os.Stdin)
		return err
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		os.Stdout.Write(b)
	}
	return nil
}

func env(names []string) {
	all := os.Environ()
	slices.Sort(all)
	for _, kv := range all {
		name, _, _ := strings.Cut(kv, "=")
		if len(names) == 0 || slices.Contains(names, name) {
			fmt.Println(kv)
		}
	}
}

func stat(files []string) error {
	for _, name := range files {
		info, err := os.Lstat(name)
		if err != nil {
			return err
		}
		st := info.Sys().(*syscall.Stat_t)
		fmt.Println(st.Uid, st.Gid, info.Mode(), name)
	}
	return nil
}

func tick(args []string) error {
	d, err := time.ParseDuration(args[0])
	if err != nil {
		return err
	}
	stop := term()
	for n := 0; ; n++ {
		fmt.Println(n)
		select {
		case <-stop:
			return nil
		case <-time.After(d):
		}
	}
}

func seq(args []string) error {
	for len(args) > 0 {
		n := slices.Index(args, "--")
		if n < 0 {
			n = len(args)
		}
		if n > 0 {
			if err := run(args[:n]); err != nil {
				return err
			}
		}
		args = args[min(n+1, len(args)):]
	}
	return nil
}
