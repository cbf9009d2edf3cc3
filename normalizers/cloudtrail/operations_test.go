package cloudtrail

import (
	"strings"
	"testing"
)

func TestOperations_EveryRowIsReached(t *testing.T) {
	table := newTable(operations)
	for i := range operations {
		row := &operations[i]
		for name := range strings.FieldsSeq(row.names) {
			call := strings.ReplaceAll(name, "*", "Quux")
			if got := table.find(row.service, call); got != row {
				t.Errorf("%s:%s is hidden by an earlier row with %v", row.service, call, got.names)
			}
		}
	}
}

func TestTrimDate(t *testing.T) {
	f := func(in, want string) {
		t.Helper()
		if got := trimDate(in); got != want {
			t.Errorf("trimDate(%q) = %q, want %q", in, got, want)
		}
	}
	f("UpdateFunctionCode20150331v2", "UpdateFunctionCode")
	f("CreateFunction20150331", "CreateFunction")
	f("CreateDistribution2020_05_31", "CreateDistribution")
	f("RunInstances", "RunInstances")
	f("PutObjectLockConfigurationV2", "PutObjectLockConfigurationV2")
	f("DescribeRegionsv2", "DescribeRegionsv2")
	f("20150331", "")
	f("", "")
}

func TestReadOnlyName(t *testing.T) {
	f := func(service, name string, want bool) {
		t.Helper()
		if got := readOnlyName(service, name); got != want {
			t.Errorf("readOnlyName(%q, %q) = %v", service, name, got)
		}
	}
	f("ec2", "DescribeInstances", true)
	f("ec2", "GetConsoleOutput", true)
	f("dynamodb", "BatchGetItem", true)
	f("sts", "AssumeRole", true)
	f("kms", "GenerateDataKey", true)
	f("iam", "GenerateServiceKey", false)
	f("ec2", "RunInstances", false)
	f("x", "Getaway", false)
}
