// Judges key-value histories with porcupine: the other half of beside-porcupine.sh.
package main

import (
	"bufio"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"time"

	"github.com/anishathalye/porcupine"
)

type input struct{ op, key, value string }

var model = porcupine.Model{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		parts := map[string][]porcupine.Operation{}
		for _, o := range history {
			key := o.Input.(input).key
			parts[key] = append(parts[key], o)
		}
		var list [][]porcupine.Operation
		for _, part := range parts {
			list = append(list, part)
		}
		return list
	},
	Init: func() interface{} { return "" },
	Step: func(state, in, out interface{}) (bool, interface{}) {
		asked, held := in.(input), state.(string)
		switch asked.op {
		case "get":
			return out == nil || out.(string) == held, held
		case "put":
			return true, asked.value
		}
		return true, held + asked.value
	},
}

var line = regexp.MustCompile(`{:process (\d+), :type :(\w+), :f :(\w+), :key "([^"]*)", :value (nil|"([^"]*)")}`)

func read(path string) []porcupine.Operation {
	file, err := os.Open(path)
	if err != nil {
		panic(err)
	}
	defer file.Close()
	scanner := bufio.NewScanner(file)
	scanner.Buffer(nil, 1<<30)
	open := map[string]int{}
	var history []porcupine.Operation
	clock := int64(0)
	for scanner.Scan() {
		field := line.FindStringSubmatch(scanner.Text())
		if field == nil {
			panic("not an event: " + scanner.Text())
		}
		clock++
		switch field[2] {
		case "invoke":
			client, _ := strconv.Atoi(field[1])
			open[field[1]] = len(history)
			asked := input{field[3], field[4], field[6]}
			history = append(history, porcupine.Operation{ClientId: client, Input: asked, Call: clock, Return: -1})
		case "ok":
			at := open[field[1]]
			history[at].Return = clock
			history[at].Output = field[6]
		}
	}
	// What never returned may take effect until the end; reads among it say nothing.
	var complete []porcupine.Operation
	for _, o := range history {
		if o.Return < 0 {
			if o.Input.(input).op == "get" {
				continue
			}
			clock++
			o.Return = clock + int64(len(history))
		}
		complete = append(complete, o)
	}
	return complete
}

func main() {
	for _, path := range os.Args[1:] {
		history := read(path)
		begin := time.Now()
		result := porcupine.CheckOperationsTimeout(model, history, 60*time.Second)
		fmt.Printf("porcupine: %s: %d operations, checked in %.3f ms: %s\n",
			path, len(history), float64(time.Since(begin).Nanoseconds())/1e6, result)
	}
}
