package cloudtrail

import (
	"strings"

	"github.com/tidwall/gjson"
)

// saidRules says which ports a security group opens or closes, to whom.
func saidRules(r *record) string {
	group := first(r.request.Get("groupId").String(), r.request.Get("groupName").String())
	if group == "" {
		return ""
	}
	outward := strings.HasSuffix(r.name, "Egress")
	rules := r.request.Get("ipPermissions.items")
	var said []string
	more := 0
	add := func(rule gjson.Result) {
		if len(said) == 3 {
			more++
		} else if s := traffic(rule, outward); s != "" {
			said = append(said, s)
		}
	}
	rules.ForEach(func(_, rule gjson.Result) bool {
		add(rule)
		return true
	})
	if len(said) == 0 && r.request.Get("cidrIp").Exists() { // the old form has one rule and no list
		add(r.request)
	}
	verb := "opened "
	if strings.HasPrefix(r.name, "Revoke") {
		verb = "closed "
	}
	if len(said) == 0 {
		if ids := lookup(r.request, []string{"securityGroupRuleIds.items.#.securityGroupRuleId", "securityGroupRuleIds.items"}); ids != "" {
			return "removed rule " + strings.ReplaceAll(ids, ",", ", ") + " of security group " + group
		}
		return ""
	}
	return verb + and(said, more) + " in security group " + group
}

// saidModifiedRules says what rules of a security group are from now on.
func saidModifiedRules(r *record) string {
	request := r.request.Get("ModifySecurityGroupRulesRequest")
	rule := request.Get("SecurityGroupRule")
	if rule.IsArray() {
		rule = rule.Get("0")
	}
	now := rule.Get("SecurityGroupRule")
	group, id := request.Get("GroupId").String(), rule.Get("SecurityGroupRuleId").String()
	if group == "" || id == "" || !now.Exists() {
		return ""
	}
	s := "changed rule " + id + " of security group " + group
	if to := first(now.Get("CidrIpv4").String(), now.Get("CidrIpv6").String(), now.Get("ReferencedGroupId").String(), now.Get("PrefixListId").String()); to != "" {
		s += " to " + ports(now.Get("IpProtocol"), now.Get("FromPort"), now.Get("ToPort")) + ", " + anywhere(to)
	}
	return s
}

// saidACL says what an entry of a network ACL does.
func saidACL(r *record) string {
	acl, number := r.word("networkAclId"), r.word("ruleNumber")
	if acl == "" || number == "" {
		return ""
	}
	if r.name == "DeleteNetworkAclEntry" {
		return "deleted rule " + number + " of network ACL " + acl
	}
	verb := map[string]string{"allow": "allowed ", "deny": "denied "}[r.word("ruleAction")]
	cidr := first(r.word("cidrBlock"), r.word("ipv6CidrBlock"))
	if verb == "" || cidr == "" {
		return ""
	}
	direction := " from "
	if r.is("egress", true) {
		direction = " to "
	}
	protocol := r.request.Get("aclProtocol")
	return verb + ports(protocol, r.request.Get("portRange.from"), r.request.Get("portRange.to")) + direction + anywhere(cidr) +
		" in network ACL " + acl + " (rule " + number + ")"
}

// traffic is what one rule of a security group lets through.
func traffic(rule gjson.Result, outward bool) string {
	var peers []string
	var protocol, from, to gjson.Result
	add := func(v gjson.Result, name string) {
		v.Get("items").ForEach(func(_, item gjson.Result) bool {
			if id := item.Get(name); id.Type == gjson.String && id.Str != "" {
				peers = append(peers, anywhere(id.Str))
			}
			return len(peers) < 20
		})
	}
	rule.ForEach(func(key, v gjson.Result) bool {
		switch key.Str {
		case "ipRanges":
			add(v, "cidrIp")
		case "ipv6Ranges":
			add(v, "cidrIpv6")
		case "groups":
			add(v, "groupId")
		case "prefixListIds":
			add(v, "prefixListId")
		case "cidrIp":
			peers = append(peers, anywhere(v.String()))
		case "ipProtocol":
			protocol = v
		case "fromPort":
			from = v
		case "toPort":
			to = v
		}
		return true
	})
	if len(peers) == 0 {
		return ""
	}
	direction := " from "
	if outward {
		direction = " to "
	}
	return ports(protocol, from, to) + direction + list(peers)
}

func anywhere(cidr string) string {
	if cidr == "0.0.0.0/0" || cidr == "::/0" {
		return "anywhere (" + cidr + ")"
	}
	return cidr
}

// ports says a protocol and its ports. Network ACLs go by IANA's numbers.
func ports(protocol, from, to gjson.Result) string {
	name := protocol.String()
	switch name {
	case "-1", "":
		return "all traffic"
	case "1":
		name = "icmp"
	case "6":
		name = "tcp"
	case "17":
		name = "udp"
	}
	first, last := from.String(), to.String()
	switch {
	case first == "" || first == "-1":
		return name
	case first == last || last == "":
		return name + " port " + first
	case first == "0" && last == "65535":
		return "all " + name + " ports"
	default:
		return name + " ports " + first + "-" + last
	}
}
