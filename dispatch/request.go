// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"reconcile/reconcile/plan"
)

// The headers of a request, and of its answer.
const (
	AgentHeader     = "X-Clrk-TaskAgent"    // NAMESPACE/NAME: which agent
	ExecutionHeader = "X-Clrk-Execution-ID" // the id of the execution
	TriggerHeader   = "X-Clrk-Trigger"      // what made the request
	ExitHeader      = "X-Clrk-Exit-Code"    // of the process; a trailer of what is streamed
	HintHeader      = "X-Reconcile-Hint"    // what the client may want to know
	RequestIDHeader = "X-Request-Id"        // the id, where the one above is missing
	cloudEvent      = "Ce-"                 // begins the headers that are attributes
)

// AgentsRoot is the path below which agents are reached, as
// /agents/NAMESPACE/NAME.
const AgentsRoot = "/agents/"

// maxBody bounds the body of a request, in bytes.
const maxBody = 32 << 20

// target is the agent that a request is for.
func target(req *http.Request) (plan.ID, error) {
	if rest, ok := strings.CutPrefix(req.URL.EscapedPath(), AgentsRoot); ok {
		parts := strings.SplitN(rest, "/", 3)
		if len(parts) < 2 {
			return plan.ID{}, fmt.Errorf("want the path %sNAMESPACE/NAME", AgentsRoot)
		}
		namespace, err := url.PathUnescape(parts[0])
		if err != nil {
			return plan.ID{}, err
		}
		name, err := url.PathUnescape(parts[1])
		if err != nil {
			return plan.ID{}, err
		}
		return agentID(namespace, name, "the path")
	}
	values := req.Header.Values(AgentHeader)
	if len(values) != 1 || values[0] == "" {
		return plan.ID{}, fmt.Errorf("want one header %s: NAMESPACE/NAME, or the path %sNAMESPACE/NAME", AgentHeader, AgentsRoot)
	}
	namespace, name, ok := strings.Cut(values[0], "/")
	if !ok {
		return plan.ID{}, fmt.Errorf("%s: want NAMESPACE/NAME", AgentHeader)
	}
	return agentID(namespace, name, AgentHeader)
}

func agentID(namespace, name, where string) (plan.ID, error) {
	if !isName(namespace) || !isName(name) {
		return plan.ID{}, fmt.Errorf("%s: want NAMESPACE/NAME, in lower-case letters, digits, dots and dashes", where)
	}
	return plan.ID{Kind: plan.TaskAgent, Namespace: namespace, Name: name}.Canonical(), nil
}

func isName(s string) bool {
	return s != "" && len(s) <= 253 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-.") == ""
}

// executionID is the id of the execution of a request.
func executionID(h http.Header) (string, error) {
	if id := h.Get(ExecutionHeader); id != "" {
		if !isExecutionID(id) {
			return "", fmt.Errorf("%s: want at most 128 printable ASCII characters, and no space", ExecutionHeader)
		}
		return id, nil
	}
	if id := h.Get(RequestIDHeader); isExecutionID(id) { // others set it as they like
		return id, nil
	}
	return NewExecutionID(), nil
}

func isExecutionID(s string) bool {
	return s != "" && len(s) <= 128 && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}

// NewExecutionID is the id of an execution that nobody has chosen one for: a random
// UUID, version 4.
func NewExecutionID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // it never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	s := hex.EncodeToString(b[:])
	return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
}

// newKey is 16 hex digits that nobody else has.
func newKey() string {
	var b [8]byte
	_, _ = rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// eventOf makes the event of a request, without its body. Hints are what the
// client may want to know.
func eventOf(req *http.Request, id plan.ID, execution, revision string) (*event, []string, error) {
	e := &event{
		id:          execution,
		source:      "clrk://" + id.NamespacedName(),
		kind:        typeInvoke,
		subject:     req.Header.Get(TriggerHeader),
		contentType: req.Header.Get("Content-Type"),
		extensions: []attribute{
			{"clrkrevision", revision},
			{"httpmethod", req.Method},
			{"httpurl", req.URL.EscapedPath()},
			{"httpquery", req.URL.RawQuery},
		},
	}
	for _, part := range [][2]string{{TriggerHeader, e.subject}, {"Content-Type", e.contentType}, {"the query", req.URL.RawQuery}} {
		if !isText(part[1]) {
			return nil, nil, fmt.Errorf("%s: it is no UTF-8, or has control characters in it", part[0])
		}
	}
	own, hints, err := extensions(req.Header)
	e.extensions = append(e.extensions, own...)
	return e, hints, err
}

// extensions are the attributes in the headers of a request, by name.
func extensions(h http.Header) (list []attribute, hints []string, err error) {
	var headers []string
	for header := range h {
		if strings.HasPrefix(header, cloudEvent) {
			headers = append(headers, header)
		}
	}
	slices.Sort(headers)
	for _, header := range headers {
		name := strings.ToLower(header[len(cloudEvent):])
		if reserved(name) {
			continue
		}
		if strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789") != "" || name == "" {
			hints = append(hints, strings.ToLower(header)+" is left out: the name of an attribute has letters and digits only")
			continue
		}
		value := unescapeHeader(strings.Join(h[header], ", "))
		if !isText(value) {
			return nil, nil, fmt.Errorf("%s: it is no UTF-8, or has control characters in it", strings.ToLower(header))
		}
		list = append(list, attribute{name, value})
	}
	return list, hints, nil
}

func isText(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}

// curlType is what curl says of any data.
const curlType = "application/x-www-form-urlencoded"

// typeHint is for who sends a body without saying what it is; "" = there is none to
// give.
func (e *event) typeHint() string {
	const text = ", so its body is in data_base64; with application/json or text/plain it is in data"
	switch {
	case e.form != formEncoded:
		return ""
	case e.contentType == "":
		return "the request has no Content-Type" + text
	case mediaOf(e.contentType) == curlType:
		return "the Content-Type of the request is " + curlType + text
	}
	return ""
}

// rejection is why a request is not an execution.
type rejection struct {
	status int
	code   string
	reason string
}

// takeBody reads the body of a request into its event.
func (e *event) takeBody(req *http.Request) *rejection {
	tooLarge := &rejection{http.StatusRequestEntityTooLarge, CodeTooLarge, fmt.Sprintf("the body is larger than %d MiB", maxBody>>20)}
	if req.ContentLength > maxBody {
		return tooLarge
	}
	var body []byte
	var err error
	if req.Body != nil {
		body, err = readAll(io.LimitReader(req.Body, maxBody+1), req.ContentLength)
	}
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return &rejection{http.StatusGatewayTimeout, CodeTimeout, "the body did not come within the timeout of the agent"}
	case err != nil:
		return &rejection{http.StatusBadRequest, CodeRequest, "read the body: " + err.Error()}
	case len(body) > maxBody:
		return tooLarge
	}
	e.body, e.form = body, formOf(e.contentType, body)
	if e.form == formJSON && !validJSON(body) {
		return &rejection{http.StatusBadRequest, CodeRequest, "the body is no JSON, which its Content-Type " + e.contentType + " says it is" + jsonPlace(body)}
	}
	return nil
}

// readAll reads r, which has size bytes where that is known.
func readAll(r io.Reader, size int64) ([]byte, error) {
	if size <= 0 {
		return io.ReadAll(r)
	}
	b := make([]byte, size)
	n, err := io.ReadFull(r, b)
	return b[:n], err
}

// jsonPlace says where a text stops being JSON.
func jsonPlace(body []byte) string {
	var v json.RawMessage
	if syntax, ok := errors.AsType[*json.SyntaxError](json.Unmarshal(body, &v)); ok {
		return fmt.Sprintf(": %v at byte %d", syntax, syntax.Offset)
	}
	return ": it is not UTF-8"
}
