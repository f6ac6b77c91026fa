// SPDX-License-Identifier: Apache-2.0

package workspace

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Names are written as they come out, with a * after those that are run.
func TestHookNames(t *testing.T) {
	for name, tt := range map[string]struct {
		commands []string
		want     string
	}{
		"a script":                   {[]string{"./setup.sh --fast"}, "setup.sh* --fast"},
		"by a shell":                 {[]string{"sh -eu scripts/setup x"}, "sh* -eu* scripts/setup* x"},
		"after others":               {[]string{"cd x && timeout 5 bash setup; . ./env | tee log"}, "cd* x timeout* 5 bash setup* env* tee* log"},
		"in quotes":                  {[]string{`sh -c 'sh a; python3 b' "my file"`}, "sh* -c* a* python3* b* my file sh a; python3 b my file"},
		"of a variable":              {[]string{"FILE=x.py run $FILE"}, "FILE* x.py* run"},
		"input":                      {[]string{"cat < list >> all", "make -f rules", "pip install -r wants"}, "cat* list* all make* -f rules* pip* install -r wants*"},
		"what is written":            {[]string{"echo a > x; cat x", "echo b >| y 2>&1", "cp a b; mv a c; cat b c"}, "echo* a cat* b 2 1 cp* mv*"},
		"what is fetched":            {[]string{"curl -fsSL -o get.sh https://x.org/get; sh get.sh"}, "curl* -fsSL -o https:/x.org/get sh*"},
		"overwritten, not written":   {[]string{"unzip -o payload.zip; python -O run"}, "unzip* -o payload.zip python* -O* run*"},
		"into a folder":              {[]string{"cp -t bin tool; bin/tool"}, "cp* -t bin tool bin/tool*"},
		"what is asked for":          {[]string{"[ -f .env ] || cp env.example .env", "if test -e a; then sh a; fi"}, "[* cp* env.example test* sh* a* fi*"},
		"elsewhere":                  {[]string{"sh ../up /etc/passwd . .. ~"}, "sh* ~"},
		"nothing":                    {[]string{"", " ;;| "}, ""},
		"a quote that is not closed": {[]string{`sh "setup`}, "sh* setup*"},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, n := range hookNames(tt.commands) {
				if n.run {
					n.path += "*"
				}
				got = append(got, n.path)
			}
			if diff := cmp.Diff(tt.want, strings.Join(got, " ")); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}
