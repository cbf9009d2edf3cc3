package cloudtrail

import (
	"slices"
	"strings"

	"github.com/tidwall/gjson"
)

const maxTags = 50

// tags returns the tags that the call sets, or else those the record says the
// thing has, as "key:value".
func (r *record) tags() []string {
	tags := collectAll(nil, r.request)
	if len(tags) == 0 {
		tags = collect(collectAll(nil, r.response), r.response.Get("instancesSet.items.0.tagSet.items"))
	}
	r.context.Get("tagContext.resourceTags").ForEach(func(_, resource gjson.Result) bool {
		tags = collect(tags, resource.Get("tags"))
		return len(tags) < maxTags
	})
	return tags
}

// collectAll takes the tags out of the members that are called so: "tags",
// "tagList", "tagSet", as a list of pairs or as an object.
func collectAll(tags []string, v gjson.Result) []string {
	if !strings.Contains(v.Raw, `"tag`) {
		return tags
	}
	v.ForEach(func(key, v gjson.Result) bool {
		if !strings.HasPrefix(key.Str, "tag") {
			return true
		}
		if items := v.Get("items"); items.IsArray() { // as EC2 wraps its lists
			if v = items; key.Str == "tagSpecificationSet" {
				v = items.Get("0.tags")
			}
		}
		tags = collect(tags, v)
		return true
	})
	return tags
}

func collect(tags []string, list gjson.Result) []string {
	add := func(key, value string) {
		tag := key + ":" + value
		if key != "" && !strings.HasPrefix(key, "HIDDEN_DUE") && len(tags) < maxTags && !slices.Contains(tags, tag) {
			tags = append(tags, tag)
		}
	}
	list.ForEach(func(key, tag gjson.Result) bool {
		switch {
		case tag.IsObject() && list.IsArray():
			add(first(tag.Get("key").String(), tag.Get("Key").String(), tag.Get("tagKey").String()),
				first(tag.Get("value").String(), tag.Get("Value").String(), tag.Get("tagValue").String()))
		case tag.Type == gjson.String && list.IsObject():
			add(key.Str, tag.Str)
		}
		return len(tags) < maxTags
	})
	return tags
}
