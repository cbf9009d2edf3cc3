package registry

import (
	"strings"

	"whatchanged/pkg/change"
)

// matcher finds the service that a change is about, by the mappings of one
// org's services.
type matcher struct {
	byName       map[string]*Service
	byRepository patterns
	byResource   patterns
}

// patterns are what services claim: exact names, and globs in which * stands
// for any characters. All compare in lower case.
type patterns struct {
	exact map[string]*Service
	globs []claim
}

type claim struct {
	pattern string
	service *Service
}

// newMatcher indexes services, which come oldest first: where two claim the
// same, the older one keeps it.
func newMatcher(services []*Service) *matcher {
	m := &matcher{byName: map[string]*Service{}}
	for _, s := range services {
		if name := strings.ToLower(s.Name); m.byName[name] == nil {
			m.byName[name] = s
		}
		m.byRepository.add(s, s.Repositories)
		m.byResource.add(s, s.Resources)
	}
	return m
}

func (p *patterns) add(s *Service, claims []string) {
	for _, c := range claims {
		c = strings.ToLower(c)
		if strings.Contains(c, "*") {
			p.globs = append(p.globs, claim{c, s})
			continue
		}
		if p.exact == nil {
			p.exact = map[string]*Service{}
		}
		if p.exact[c] == nil {
			p.exact[c] = s
		}
	}
}

// find returns the service that claims name: exactly, else by the longest glob.
func (p *patterns) find(name string) *Service {
	if name == "" {
		return nil
	}
	name = strings.ToLower(name)
	if s := p.exact[name]; s != nil {
		return s
	}
	var best claim
	for _, c := range p.globs {
		if len(c.pattern) > len(best.pattern) && matchGlob(c.pattern, name) {
			best = c
		}
	}
	return best.service
}

func (m *matcher) find(repository string, res change.Resource) *Service {
	if s := m.byRepository.find(repository); s != nil {
		return s
	}
	for _, name := range []string{res.ID, res.Name} {
		if s := m.byResource.find(name); s != nil {
			return s
		}
	}
	return nil
}

// matchGlob reports whether name matches pattern, in which each * stands for
// any characters. It takes time in proportion to both, whatever they are.
func matchGlob(pattern, name string) bool {
	parts := strings.Split(pattern, "*")
	if !strings.HasPrefix(name, parts[0]) {
		return false
	}
	name = name[len(parts[0]):]
	last := parts[len(parts)-1]
	for _, part := range parts[1 : len(parts)-1] {
		i := strings.Index(name, part)
		if i < 0 {
			return false
		}
		name = name[i+len(part):]
	}
	return strings.HasSuffix(name, last)
}
