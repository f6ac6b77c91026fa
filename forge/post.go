// SPDX-License-Identifier: Apache-2.0

package forge

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	maxRedirects = 3
	maxAnswer    = 64 << 10 // bytes that are read of an answer
)

// retry says whether another try may help, and after which time at least.
type retry struct {
	worth bool
	after time.Duration
}

// post posts s once.
func (r *Reporter) post(ctx context.Context, s Status) (retry, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	c := r.opt.call(s)
	for range maxRedirects + 1 {
		resp, body, err := r.send(ctx, c)
		if err != nil {
			return retry{worth: true}, err
		}
		next, moved := redirect(resp)
		if !moved {
			return r.verdict(resp, body)
		}
		// A redirect to elsewhere would hand the token to whoever is there.
		if next == nil || next.Scheme != resp.Request.URL.Scheme || next.Host != resp.Request.URL.Host {
			return retry{}, errors.New("the forge redirects to another host, which is not followed")
		}
		c.url = next.String()
	}
	return retry{}, errors.New("the forge redirects in circles")
}

func (r *Reporter) send(ctx context.Context, c call) (*http.Response, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(c.body))
	if err != nil {
		return nil, nil, err
	}
	req.Header = c.header
	resp, err := r.client.Do(req)
	if err != nil {
		return nil, nil, r.safe(err.Error())
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil && resp.StatusCode >= 300 {
		return nil, nil, r.safe(err.Error())
	}
	return resp, body, nil
}

// redirect returns where an answer sends the request; nil = nowhere that can be
// understood. The request stays a POST: as a GET it would seem to succeed.
func redirect(resp *http.Response) (*url.URL, bool) {
	switch resp.StatusCode {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
	default:
		return nil, false
	}
	u, err := resp.Location()
	if err != nil {
		return nil, true
	}
	return u, true
}

func (r *Reporter) verdict(resp *http.Response, body []byte) (retry, error) {
	code := resp.StatusCode
	if code/100 == 2 {
		return retry{}, nil
	}
	why := message(body)
	if r.opt.Kind == GitLab && code == http.StatusBadRequest && strings.Contains(why, "Cannot transition status") {
		return retry{}, nil // it has that status already, or a later one
	}
	err := r.safe(fmt.Sprintf("the forge answers %d %s", code, http.StatusText(code)) + map[bool]string{true: ": " + why}[why != ""])
	after, _ := strconv.Atoi(resp.Header.Get("Retry-After"))
	worth := code >= 500 || code == http.StatusTooManyRequests || code == http.StatusRequestTimeout ||
		code == http.StatusForbidden && after > 0 // GitHub's limit of requests
	return retry{worth, time.Duration(max(after, 0)) * time.Second}, err
}

// message is what the forges put into the answer to a request that fails.
func message(body []byte) string {
	var doc struct {
		Message json.RawMessage `json:"message"` // a text, or with GitLab texts by field
		Error   json.RawMessage `json:"error"`
	}
	if json.Unmarshal(body, &doc) != nil {
		return ""
	}
	for _, raw := range []json.RawMessage{doc.Message, doc.Error} {
		var text string
		if len(raw) == 0 || string(raw) == "null" {
			continue
		}
		if json.Unmarshal(raw, &text) != nil {
			text = string(raw)
		}
		return shorten(text, 200)
	}
	return ""
}

// safe is an error without the token, whoever wrote its text.
func (r *Reporter) safe(text string) error {
	return errors.New(strings.ReplaceAll(text, r.opt.Token, "[token]"))
}
