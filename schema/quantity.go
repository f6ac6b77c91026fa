// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"fmt"
	"math/big"
	"regexp"
	"strings"
)

// quantity reads a Kubernetes quantity, such as 512Mi or 0.5, as a multiple of
// unit, rounded up; 0 when absent.
func (c cursor) quantity(unit *big.Rat, example string) (Str, int64) {
	if !c.is("a number or text", NodeInt, NodeFloat, NodeString) {
		return Str{}, 0
	}
	s := Str{V: strings.TrimSpace(c.n.Text), Pos: c.n.Pos}
	v, ok := parseQuantity(s.V)
	if !ok || v.Sign() <= 0 {
		c.invalid(fmt.Sprintf("%s is not a quantity above 0", quoteKey(s.V)), "for example "+example)
		return s, 0
	}
	v.Quo(v, unit)
	n := new(big.Int).Add(v.Num(), new(big.Int).Sub(v.Denom(), big.NewInt(1)))
	n.Quo(n, v.Denom())
	if !n.IsInt64() {
		c.invalid(fmt.Sprintf("%s is too large", quoteKey(s.V)), "")
		return s, 0
	}
	return s, n.Int64()
}

var quantityForm = regexp.MustCompile(`^([0-9]{1,18}(?:\.[0-9]{1,18})?)(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|[eE][+-]?[0-9]{1,2})?$`)

func parseQuantity(s string) (*big.Rat, bool) {
	m := quantityForm.FindStringSubmatch(s)
	if m == nil {
		return nil, false
	}
	digits, suffix := m[1], m[2]
	if len(suffix) > 1 && suffix != "Ei" && (suffix[0] == 'e' || suffix[0] == 'E') {
		return new(big.Rat).SetString(digits + suffix)
	}
	v, ok := new(big.Rat).SetString(digits)
	if !ok || suffix == "" {
		return v, ok
	}
	if suffix == "m" {
		return v.Quo(v, big.NewRat(1000, 1)), true
	}
	base := int64(1000)
	if strings.HasSuffix(suffix, "i") {
		base = 1024
	}
	power := int64(strings.Index("kmgtpe", strings.ToLower(suffix[:1]))) + 1
	factor := new(big.Int).Exp(big.NewInt(base), big.NewInt(power), nil)
	return v.Mul(v, new(big.Rat).SetInt(factor)), true
}
