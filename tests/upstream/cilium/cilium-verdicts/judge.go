package main

import (
	"fmt"
	"slices"
	"strconv"
	"sync"

	"github.com/cilium/cilium/pkg/crypto/certificatemanager"
	"github.com/cilium/cilium/pkg/endpoint/regeneration"
	envoypolicy "github.com/cilium/cilium/pkg/envoy/policy"
	"github.com/cilium/cilium/pkg/identity"
	"github.com/cilium/cilium/pkg/identity/identitymanager"
	ipcachetypes "github.com/cilium/cilium/pkg/ipcache/types"
	"github.com/cilium/cilium/pkg/labels"
	"github.com/cilium/cilium/pkg/labelsfilter"
	"github.com/cilium/cilium/pkg/option"
	"github.com/cilium/cilium/pkg/policy"
	"github.com/cilium/cilium/pkg/policy/types"
	fakecertificates "github.com/cilium/cilium/pkg/testutils/certificatemanager"
	testpolicy "github.com/cilium/cilium/pkg/testutils/policy"
	"github.com/cilium/cilium/pkg/u8proto"
)

// judge resolves the policies for the host endpoint of the case's node and looks every packet up.
func judge(one *testCase, admission *schema) (*answer, error) {
	bound, err := configure(one.Config)
	if err != nil {
		return nil, err
	}
	policies, invalid, err := apply(one, admission, bound)
	if err != nil {
		return nil, err
	}
	repository := policy.NewPolicyRepository(logger, identity.ListReservedIdentities(), &fakecertificates.Fake{},
		envoypolicy.NewEnvoyL7RulesTranslator(logger, certificatemanager.NewMockSecretManagerSDS()),
		identitymanager.NewIDManager(logger), testpolicy.NewPolicyMetricsNoop())
	cluster, err := newCluster(one, policies, updater{repository})
	if err != nil {
		return nil, err
	}
	defer cluster.Shutdown()
	repository.SetNamedPortsGetter(cluster)
	pods := make(identity.IdentityMap)
	for _, pod := range cluster.pods {
		pods[pod.ID] = pod.LabelArray
	}
	updater{repository}.UpdateIdentities(pods, nil)

	host := hostEndpoint(one)
	repository.UpdateIdentities(identity.IdentityMap{host.ID: host.LabelArray}, nil)
	for _, applied := range policies {
		resource := ipcachetypes.NewResourceID(ipcachetypes.ResourceKindCCNP, "", applied.name)
		repository.ReplaceByResource(applied.entries, resource)
	}
	selected, _, err := repository.ComputeSelectorPolicy(host)
	if err != nil {
		return nil, err
	}
	distilled := selected.DistillPolicy(logger, owner{}, map[string]uint16{policy.FallbackRedirectID: 1})
	if err := distilled.Ready(); err != nil {
		return nil, err
	}
	defer distilled.Detach(logger)
	result := &answer{
		ID:          one.ID,
		Verdicts:    []string{},
		Invalid:     invalid,
		Identities:  make(map[string]string),
		DefaultDeny: defaultDeny(repository, host),
		Enforced: directions{
			Ingress: distilled.SelectorPolicy.IngressPolicyEnabled,
			Egress:  distilled.SelectorPolicy.EgressPolicyEnabled,
		},
		HostLabels: host.Labels.GetPrintableModel(),
	}
	for _, packet := range one.Packets {
		verdict, err := cluster.verdict(&packet, distilled, result.Identities)
		if err != nil {
			return nil, err
		}
		result.Verdicts = append(result.Verdicts, verdict)
	}
	return result, nil
}

// hostEndpoint is the subject: the host with the labels of its node, without those that its addresses add where it is a
// peer (cilium/cilium:pkg/endpoint/endpoint.go, InitWithNodeLabels).
func hostEndpoint(one *testCase) *identity.Identity {
	its := make(labels.Labels)
	its.MergeLabels(labels.LabelHost)
	for _, node := range one.Nodes {
		if parsed := node.parse(); parsed.IsLocal() {
			kept, _ := labelsfilter.Filter(labels.Map2Labels(parsed.Labels, labels.LabelSourceK8s))
			its.MergeLabels(kept)
		}
	}
	return identity.NewIdentity(identity.ReservedIdentityHost, its)
}

// defaultDeny says whether the mode, or some rule for the host, turns it on.
func defaultDeny(repository *policy.Repository, host *identity.Identity) (on directions) {
	switch {
	case !option.Config.EnableHostFirewall || policy.GetPolicyEnabled() == option.NeverEnforce:
		return directions{}
	case policy.GetPolicyEnabled() == option.AlwaysEnforce:
		return directions{Ingress: true, Egress: true}
	}
	repository.Iterate(func(rule *types.PolicyEntry) {
		if rule.DefaultDeny && rule.Node && rule.Subject.Matches(host.LabelArray) {
			if rule.Ingress {
				on.Ingress = true
			} else {
				on.Egress = true
			}
		}
	})
	return on
}

func (c *cluster) verdict(packet *testPacket, policies *policy.EndpointPolicy, seen map[string]string) (string, error) {
	if !hasFamily(packet.Peer) {
		return "unsupported", nil
	}
	peer, ok := c.LookupSecIDByIP(packet.Peer)
	if !ok {
		return "", fmt.Errorf("%s has no identity", packet.Peer)
	}
	seen[packet.Peer.String()] = c.show(peer.ID)
	protocol, port, err := packet.protocolAndPort()
	if err != nil {
		return "", err
	}
	var key policy.Key
	switch packet.Dir {
	case "ingress":
		key = policy.IngressKey()
	case "egress":
		key = policy.EgressKey()
	default:
		return "", fmt.Errorf("%q is not a direction", packet.Dir)
	}
	entry, _, _ := policies.Lookup(key.WithIdentity(peer.ID).WithPortProtoPrefix(protocol, port, 16))
	// Where policy is not enforced there is a wildcard allow in the map, so this holds then too.
	if entry.IsDeny() {
		return "deny", nil
	}
	return "allow", nil
}

// show prints an identity: numbers that differ from agent to agent by their scope.
func (c *cluster) show(id identity.NumericIdentity) string {
	var its labels.LabelArray
	kind := "pod"
	switch {
	case id < identity.MinimalNumericIdentity:
		its, kind = identity.LookupReservedIdentity(id).LabelArray, strconv.Itoa(int(id))
	case id.Scope() == identity.IdentityScopeLocal:
		its, kind = c.allocator.IdentityMap[id], "local"
	case id.Scope() == identity.IdentityScopeRemoteNode:
		its, kind = c.allocator.IdentityMap[id], "remote-node-scope"
	default:
		for _, pod := range c.pods {
			if pod.ID == id {
				its = pod.LabelArray
			}
		}
	}
	texts := make([]string, 0, len(its))
	for _, label := range its {
		if label.Source == labels.LabelSourceCIDRGroup {
			// Selectors look for values in keys; a prefix in several groups has the value of any of them.
			label.Value = ""
		}
		texts = append(texts, label.String())
	}
	slices.Sort(texts)
	return fmt.Sprintf("%s %s", kind, texts)
}

// updater hands new identities to the selectors.
type updater struct{ repository *policy.Repository }

func (u updater) UpdateIdentities(added, deleted identity.IdentityMap) <-chan struct{} {
	var done sync.WaitGroup
	u.repository.GetSelectorCache().UpdateIdentities(added, deleted, &done)
	done.Wait()
	finished := make(chan struct{})
	close(finished)
	return finished
}

// owner is the host endpoint, as far as policy asks it.
type owner struct{}

func (owner) GetID() uint64                                      { return 1 }
func (owner) GetIngressNamedPort(string, u8proto.U8proto) uint16 { return 0 }
func (owner) PolicyDebug(string, ...any)                         {}
func (owner) IsHost() bool                                       { return true }
func (owner) PreviousMapStateSizes() policy.MapStateSizes        { return policy.MapStateSizes{} }
func (owner) RegenerateIfAlive(*regeneration.ExternalRegenerationMetadata) <-chan bool {
	done := make(chan bool)
	close(done)
	return done
}
