package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"

	cilium "github.com/cilium/cilium/pkg/k8s/apis/cilium.io/v2"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/json"
)

const (
	apiVersion = "cilium.io/v2"
	decodeStep = "decode"
	sanitize   = "sanitize"
)

type verdict struct {
	Kind  string `json:"kind"`
	Name  string `json:"name"`
	Stage string `json:"stage"`
	Error string `json:"error"`
}

func (v *verdict) refuse(stage string, err error) {
	v.Stage, v.Error = stage, err.Error()
}

func judge(line []byte, cluster string) (answer verdict) {
	var head struct {
		meta.TypeMeta `json:",inline"`
		Metadata      struct {
			Name string `json:"name"`
		} `json:"metadata"`
	}
	if err := json.UnmarshalCaseSensitivePreserveInts(line, &head); err != nil {
		answer.refuse(decodeStep, err)
		return answer
	}
	answer.Kind, answer.Name = head.Kind, head.Metadata.Name
	// An object that makes the agent's parser panic is refused, not fatal to the next one.
	defer func() {
		if cause := recover(); cause != nil {
			answer.refuse(sanitize, fmt.Errorf("panic: %v", cause))
		}
	}()

	if head.APIVersion != apiVersion {
		answer.refuse(decodeStep, fmt.Errorf("apiVersion %q is not %s", head.APIVersion, apiVersion))
		return answer
	}
	var parse func() error
	var object any
	switch head.Kind {
	case cilium.CCNPKindDefinition:
		policy := &cilium.CiliumClusterwideNetworkPolicy{}
		object, parse = policy, func() error {
			_, err := policy.Parse(slog.New(slog.DiscardHandler), cluster)
			return err
		}
	case cilium.CCGKindDefinition:
		group := &cilium.CiliumCIDRGroup{}
		object, parse = group, func() error { return parseGroup(group) }
	default:
		answer.refuse(decodeStep, fmt.Errorf("kind %q is not one of those checked here", head.Kind))
		return answer
	}
	if err := decode(line, object); err != nil {
		answer.refuse(decodeStep, err)
	} else if err := parse(); err != nil {
		answer.refuse(sanitize, err)
	}
	return answer
}

// decode refuses what the API server's strict field validation refuses: unknown and repeated fields, by exact case.
// Types that decode themselves, such as selectors, are as lenient inside as they are in the agent.
func decode(line []byte, object any) error {
	strict, err := json.UnmarshalStrict(line, object)
	return errors.Join(append(strict, err)...)
}

// parseGroup reads the prefixes as the agent does (cilium/cilium:pkg/policy/k8s/cilium_cidr_group.go), which logs
// and skips what it cannot read.
func parseGroup(group *cilium.CiliumCIDRGroup) error {
	var faults []error
	for i, cidr := range group.Spec.ExternalCIDRs {
		if _, err := netip.ParsePrefix(string(cidr)); err != nil {
			faults = append(faults, fmt.Errorf("externalCIDRs[%d]: %w", i, err))
		}
	}
	return errors.Join(faults...)
}
