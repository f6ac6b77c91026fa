// SPDX-License-Identifier: Apache-2.0

package podmantest

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"os"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/containers/podman/v5/pkg/bindings/images"
)

// ImageOptions says what an image holds. The zero value is the test tool alone
// at /bin/tool, in an image that is otherwise empty.
type ImageOptions struct {
	// Busybox adds a static busybox at /bin/busybox with links for its applets:
	// /bin/sh, /bin/cat and so on.
	Busybox bool
	// NoTool leaves the test tool out.
	NoTool bool
	// Files are further files: absolute path → content. Those in a bin folder and
	// those that begin as a program does are executable.
	Files map[string]string
	// Changes are Dockerfile lines for the image's configuration: ENV, CMD,
	// ENTRYPOINT, USER, WORKDIR, VOLUME, EXPOSE, LABEL. ENV PATH=/bin comes
	// first unless they set PATH, and CMD ["/bin/tool","pause"] unless they set
	// a command.
	Changes []string
}

// Image makes a local image and returns its reference, localhost/NAME:latest.
// The same name and options are made once in a test binary; the same name with
// other options moves the tag.
func Image(t testing.TB, name string, opt ImageOptions) string {
	t.Helper()
	l := use(t)
	ref := "localhost/" + name + ":latest"
	key, err := json.Marshal(opt)
	if err != nil {
		t.Fatal(err)
	}
	archive := Layer(t, opt)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.images[ref] == string(key) {
		return ref
	}
	_, err = images.Import(l.conn, bytes.NewReader(archive), new(images.ImportOptions).WithReference(ref).WithChanges(changes(opt)))
	if err != nil {
		t.Fatalf("import %s: %v", ref, err)
	}
	l.images[ref] = string(key)
	return ref
}

func changes(opt ImageOptions) []string {
	list := slices.Clone(opt.Changes)
	has := func(prefix string) bool {
		return slices.ContainsFunc(list, func(s string) bool { return strings.HasPrefix(s, prefix) })
	}
	if !has("ENV PATH=") {
		list = slices.Insert(list, 0, "ENV PATH=/bin")
	}
	if !has("CMD") && !has("ENTRYPOINT") && !opt.NoTool {
		list = append(list, `CMD ["/bin/tool","pause"]`)
	}
	return list
}

// applets are the busybox commands that get a link.
var applets = strings.Fields("sh cat cp date echo env false grep head id kill ls mkdir mv ps pwd rm sed sleep sort stat tail test touch tr true uname wc whoami wget nslookup")

// Layer returns the file system of an image as a tar archive.
func Layer(t testing.TB, opt ImageOptions) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	add := func(h tar.Header, content []byte) {
		h.Size = int64(len(content))
		h.Format = tar.FormatPAX
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(content); err != nil {
			t.Fatal(err)
		}
	}
	made := map[string]bool{}
	folder := func(name string) {}
	folder = func(name string) {
		if name == "." || name == "/" || made[name] {
			return
		}
		folder(path.Dir(name))
		made[name] = true
		mode := int64(0o755)
		if name == "tmp" {
			mode = 0o1777
		}
		add(tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: mode}, nil)
	}
	folder("bin")
	folder("tmp")
	if !opt.NoTool {
		add(tar.Header{Name: "bin/tool", Mode: 0o755}, Tool(t))
	}
	if opt.Busybox {
		b, err := os.ReadFile("/bin/busybox")
		if err != nil {
			t.Fatalf("a static busybox is needed (busybox-static): %v", err)
		}
		add(tar.Header{Name: "bin/busybox", Mode: 0o755}, b)
		for _, a := range applets {
			add(tar.Header{Typeflag: tar.TypeSymlink, Name: "bin/" + a, Linkname: "busybox", Mode: 0o777}, nil)
		}
	}
	names := make([]string, 0, len(opt.Files))
	for name := range opt.Files {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		rel := strings.TrimPrefix(name, "/")
		folder(path.Dir(rel))
		mode := int64(0o644)
		if content := opt.Files[name]; path.Base(path.Dir(rel)) == "bin" || strings.HasPrefix(content, "\x7fELF") || strings.HasPrefix(content, "#!") {
			mode = 0o755
		}
		add(tar.Header{Name: rel, Mode: mode}, []byte(opt.Files[name]))
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}
