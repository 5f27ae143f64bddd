package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

const clockTicks = 100 // a second, in /proc/<pid>/stat, on every Linux

// cost is what a server has used: CPU seconds since its start, and what it holds now.
type cost struct {
	cpu      float64
	rssKB    float64
	socketKB float64 // of all TCP sockets of the machine, both ends
}

// usage adds up the processes and all their children.
func usage(roots []int) cost {
	c := cost{socketKB: socketMemoryKB()}
	pageKB := float64(os.Getpagesize()) / 1000
	for _, pid := range family(roots) {
		fields, _ := stat(pid)
		if len(fields) < 22 {
			continue
		}
		c.cpu += (number(fields[11]) + number(fields[12])) / clockTicks
		c.rssKB += number(fields[21]) * pageKB
	}
	return c
}

// stat has the fields of /proc/<pid>/stat from the third on: names of processes may hold blanks.
func stat(pid int) ([]string, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil, err
	}
	return strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:])), nil
}

func number(text string) float64 {
	value, _ := strconv.ParseFloat(text, 64)
	return value
}

// family is the processes with all that they have started.
func family(roots []int) []int {
	children := map[int][]int{}
	folders, _ := filepath.Glob("/proc/[0-9]*")
	for _, folder := range folders {
		pid, _ := strconv.Atoi(filepath.Base(folder))
		if fields, err := stat(pid); err == nil {
			parent, _ := strconv.Atoi(fields[1])
			children[parent] = append(children[parent], pid)
		}
	}
	all := append([]int{}, roots...)
	for i := 0; i < len(all); i++ {
		all = append(all, children[all[i]]...)
	}
	return all
}

// socketMemoryKB is what /proc/net/sockstat says of TCP, in pages there.
func socketMemoryKB() float64 {
	text, _ := os.ReadFile("/proc/net/sockstat")
	for _, line := range strings.Split(string(text), "\n") {
		fields := strings.Fields(line)
		if len(fields) > 1 && fields[0] == "TCP:" {
			return number(fields[len(fields)-1]) * float64(os.Getpagesize()) / 1000
		}
	}
	return 0
}
