// Judges histories with porcupine: the other half of beside-porcupine.sh.
//
// Prints a line for each file: its name, the operations, the milliseconds of processor time of one check, the verdict.
// Both texts of porcupine's tests are read, and the models are those of its tests.
package main

import (
	"bufio"
	"fmt"
	"os"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/anishathalye/porcupine"
)

type input struct{ op, key, value, expected string }

// Of an operation without an answer, the zero value.
type output struct {
	known   bool
	value   string
	swapped bool
}

// A register that was never written; the key-value store begins with the empty string.
const absent = "nil"

func partition(history []porcupine.Operation) [][]porcupine.Operation {
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
}

func model(initial string) porcupine.Model {
	return porcupine.Model{
		Partition: partition,
		Init:      func() interface{} { return initial },
		Step: func(state, in, out interface{}) (bool, interface{}) {
			asked, held, answer := in.(input), state.(string), out.(output)
			switch asked.op {
			case "get", "read":
				return answer.value == held, held
			case "put", "write":
				return true, asked.value
			case "append":
				return true, held + asked.value
			}
			fits := asked.expected == held
			if fits {
				held = asked.value
			}
			return !answer.known || answer.swapped == fits, held
		},
	}
}

// Process, type, function, key, value.
var keyValue = regexp.MustCompile(`{:process (\d+), :type :(\w+), :f :(\w+), :key "([^"]*)", :value (?:nil|"([^"]*)")}`)

// Process, type, function, value or the pair of a compare-and-swap.
var register = regexp.MustCompile(`jepsen\.util - (\d+)\s+:(\w+)\s+:(read|write|cas)\s+(?:\[(\S+) (\S+)\]|(\S+))`)

type event struct {
	process, kind string
	asked         input
}

func parse(text string, isRegister bool) (event, bool) {
	if isRegister {
		field := register.FindStringSubmatch(text)
		if field == nil {
			return event{}, false
		}
		return event{field[1], field[2], input{op: field[3], value: field[5] + field[6], expected: field[4]}}, true
	}
	field := keyValue.FindStringSubmatch(text)
	if field == nil {
		panic("not an event: " + text)
	}
	return event{field[1], field[2], input{op: field[3], key: field[4], value: field[5]}}, true
}

func read(path string) (porcupine.Model, []porcupine.Operation) {
	file, err := os.Open(path)
	if err != nil {
		panic(err)
	}
	defer file.Close()
	scanner := bufio.NewScanner(file)
	scanner.Buffer(nil, 1<<30)
	const pending, withdrawn = -1, -2
	open := map[string]int{}
	var history []porcupine.Operation
	clock := int64(0)
	isRegister, first := false, true
	for scanner.Scan() {
		if first {
			isRegister, first = !strings.HasPrefix(scanner.Text(), "{"), false
		}
		event, ok := parse(scanner.Text(), isRegister)
		if !ok {
			continue
		}
		clock++
		if event.kind == "invoke" {
			client, _ := strconv.Atoi(event.process)
			open[event.process] = len(history)
			history = append(history, porcupine.Operation{
				ClientId: client, Input: event.asked, Call: clock, Output: output{}, Return: pending,
			})
			continue
		}
		asked := &history[open[event.process]]
		failed := event.kind == "fail"
		switch {
		case failed && event.asked.op == "read":
			asked.Return = withdrawn
		case event.kind == "ok" || failed:
			asked.Return = clock
			asked.Output = output{known: true, value: event.asked.value, swapped: !failed}
		}
	}
	// What never returned may take effect until the end; reads among it say nothing.
	var complete []porcupine.Operation
	for _, o := range history {
		op := o.Input.(input).op
		if o.Return == withdrawn || o.Return == pending && (op == "get" || op == "read") {
			continue
		}
		if o.Return == pending {
			clock++
			o.Return = clock
		}
		complete = append(complete, o)
	}
	if isRegister {
		return model(absent), complete
	}
	return model(""), complete
}

// Processor time of all threads so far.
func processorTime() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// As `measure` does: short work is repeated, and the best of some rounds counts.
const rounds, batch = 3, 50 * time.Millisecond

func main() {
	seconds, err := strconv.Atoi(os.Args[1])
	if err != nil {
		panic(err)
	}
	limit := time.Duration(seconds) * time.Second
	for _, path := range os.Args[2:] {
		model, history := read(path)
		var result porcupine.CheckResult
		least := time.Duration(1 << 62)
		for round := 0; round < rounds; round++ {
			runtime.GC()
			begin, before, runs := time.Now(), processorTime(), 0
			for runs == 0 || time.Since(begin) < batch {
				result = porcupine.CheckOperationsTimeout(model, history, limit)
				runs++
			}
			if spent := (processorTime() - before) / time.Duration(runs); spent < least {
				least = spent
			}
			if result == porcupine.Unknown {
				break
			}
		}
		fmt.Printf("%s\t%d\t%.4f\t%s\n", path, len(history), float64(least.Nanoseconds())/1e6, result)
	}
}
